/* Relocations by which a module refers to another one's function: a slot with its address. Source: the processor's
 * supplement to the System V ABI. World: plain. */
#ifndef PA_AGENT_ARCH_AARCH64_SLOTS_H
#define PA_AGENT_ARCH_AARCH64_SLOTS_H

#include <elf.h>

#define PA_ARCH_JUMP_SLOT R_AARCH64_JUMP_SLOT
#define PA_ARCH_GLOB_DAT  R_AARCH64_GLOB_DAT

#endif
