/* Arbitrary bytes as a module's unwind tables. The first 8 bytes of the input are the pc, as a distance from the start
 * of the image (little-endian); the next 2 the place of .eh_frame_hdr; the rest is the image, in a buffer of exactly
 * that size. Beyond not reading outside: whatever comes out is a rule, the same one each time, and survives packing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/arch/rule.h"
#include "agent/cfi_sig.h"

#define HEAD 10

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_packing(const struct pa_rule *rule)
{
	struct pa_rule back;
	uint32_t bits;

	if (!pa_arch_rule_pack(rule, &bits))
		return;
	if (bits >> 25)
		abort();
	pa_arch_rule_unpack(bits, &back);
	if (back.kind != rule->kind)
		abort();
	if (rule->kind < PA_RULE_SIGNAL &&
	    (back.cfa != rule->cfa || back.add != rule->add || back.ra != rule->ra || back.fp_how != rule->fp_how ||
	     back.ra_how != rule->ra_how || (rule->fp_how == PA_HOW_CFA && back.fp != rule->fp)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pa_rule first, again;
	struct pa_cfi_image image;
	uint64_t distance;
	uint16_t hdr;
	uint8_t *copy;

	if (size <= HEAD)
		return 0;
	memcpy(&distance, data, 8);
	memcpy(&hdr, data + 8, 2);
	size -= HEAD;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data + HEAD, size);
	image = (struct pa_cfi_image){.lo = copy, .hi = copy + size, .hdr = copy + hdr % size};
	memset(&first, 0, sizeof(first));
	memset(&again, 0, sizeof(again));
	pa_cfi_rule_sig(&image, (uint64_t)(uintptr_t)copy + distance, true, &first);
	pa_cfi_rule_sig(&image, (uint64_t)(uintptr_t)copy + distance, true, &again);
	if (first.kind > PA_RULE_DEREF_REG || first.kind != again.kind || first.cfa != again.cfa ||
	    first.fp != again.fp)
		abort();
	check_packing(&first);
	free(copy);
	return 0;
}
