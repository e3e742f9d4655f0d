/* Makes small .eh_frame_hdr + .eh_frame images out of instruction bytes: one CIE, one FDE, functions at a made-up
 * distance from the header. The buffer has exactly the image's size, so that AddressSanitizer sees a byte too far. */
#ifndef PA_TESTS_CFI_UTIL_H
#define PA_TESTS_CFI_UTIL_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/arch/rule.h"
#include "agent/cfi_sig.h"

#define CODE_DISTANCE 0x100000
#define CODE_BYTES    0x100

struct image {
	uint8_t bytes[1024];
	size_t len;
	size_t cie; /* offsets */
	size_t fde;
};

static inline void put(struct image *im, const void *bytes, size_t len)
{
	memcpy(im->bytes + im->len, bytes, len);
	im->len += len;
}

static inline void put8(struct image *im, unsigned value)
{
	im->bytes[im->len++] = (uint8_t)value;
}

static inline void put32(struct image *im, uint32_t value)
{
	put(im, &value, 4);
}

static inline void patch32(struct image *im, size_t at, uint32_t value)
{
	memcpy(im->bytes + at, &value, 4);
}

static inline void end_entry(struct image *im, size_t at)
{
	while ((im->len - at) % 4)
		put8(im, 0);
	patch32(im, at, (uint32_t)(im->len - at - 4));
}

/* aug: "zR" or "zRS". The CIE begins with CFA = sp + 8 and, on x86-64, the return address at CFA - 8. */
static inline void image_build(struct image *im, const char *aug, const void *code, size_t len)
{
	im->len = 0;
	put(im, "\x01\x1b\x03\x3b", 4);
	put32(im, 16); /* .eh_frame_ptr, not used */
	put32(im, 1);
	put32(im, CODE_DISTANCE);
	put32(im, 0); /* the FDE, below */
	im->cie = im->len;
	put32(im, 0);
	put32(im, 0);
	put8(im, 1);
	put(im, aug, strlen(aug) + 1);
	put8(im, 1);    /* code alignment */
	put8(im, 0x78); /* data alignment -8 */
	put8(im, PA_ARCH_DWARF_RA);
	put8(im, 1);    /* augmentation data */
	put8(im, 0x1b); /* pcrel sdata4 */
	put8(im, 0x0c); /* def_cfa sp + 8 */
	put8(im, PA_ARCH_DWARF_SP);
	put8(im, 8);
	if (!PA_ARCH_RA_IN_REGISTER) {
		put8(im, 0x80 | PA_ARCH_DWARF_RA);
		put8(im, 1);
	}
	end_entry(im, im->cie);
	im->fde = im->len;
	patch32(im, 16, (uint32_t)im->fde);
	put32(im, 0);
	put32(im, (uint32_t)(im->len - im->cie));
	put32(im, (uint32_t)(CODE_DISTANCE - im->len));
	put32(im, CODE_BYTES);
	put8(im, 0); /* augmentation data */
	put(im, code, len);
	end_entry(im, im->fde);
}

/* Looks a pc up, at an offset into the function, in a copy of the first len bytes of the image. */
static inline void image_rule_cut(const struct image *im, size_t len, uint64_t offset, struct pa_rule *rule)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct pa_cfi_image cfi = {.lo = copy, .hi = copy + len, .hdr = copy};

	memcpy(copy, im->bytes, len);
	pa_cfi_rule_sig(&cfi, (uint64_t)(uintptr_t)copy + CODE_DISTANCE + offset, true, rule);
	free(copy);
}

static inline void image_rule(const struct image *im, uint64_t offset, struct pa_rule *rule)
{
	image_rule_cut(im, im->len, offset, rule);
}

#endif
