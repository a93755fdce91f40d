/* SPDX-License-Identifier: MIT */
#include "ehframe.h"

#include <string.h>

/* DWARF pointer encodings (LSB, "DWARF Extensions"): low nibble the form, bits 4-6 the base. */
enum { PE_ABSPTR = 0, PE_UDATA2 = 2, PE_UDATA4 = 3, PE_UDATA8 = 4, PE_SDATA2 = 10, PE_SDATA4 = 11,
       PE_SDATA8 = 12, PE_FORM = 0x0f, PE_PCREL = 0x10, PE_BASE = 0x70, PE_OMIT = 0xff };

struct cursor {
	const uint8_t *data;
	size_t at, end;
	uint64_t vaddr; /* of data[0] */
	bool bad;
};

static uint64_t take(struct cursor *c, size_t size)
{
	uint64_t v = 0;

	if (c->bad || size > c->end - c->at) {
		c->bad = true;
		return 0;
	}
	memcpy(&v, c->data + c->at, size);
	c->at += size;
	return v;
}

static uint64_t take_uleb(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 63; shift += 7) {
		uint64_t b = take(c, 1);

		v |= (b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	c->bad = true;
	return 0;
}

static uint64_t take_form(struct cursor *c, uint8_t form)
{
	switch (form) {
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		return take(c, 8);
	case PE_UDATA4:
		return take(c, 4);
	case PE_SDATA4:
		return (uint64_t)(int64_t)(int32_t)take(c, 4);
	case PE_UDATA2:
		return take(c, 2);
	case PE_SDATA2:
		return (uint64_t)(int64_t)(int16_t)take(c, 2);
	default:
		c->bad = true;
		return 0;
	}
}

/* An encoded pointer; bases other than "absolute" and "from here" are not used for code. */
static uint64_t take_encoded(struct cursor *c, uint8_t enc)
{
	uint64_t here = c->vaddr + c->at;
	uint64_t v = take_form(c, enc & PE_FORM);

	if ((enc & PE_BASE) == PE_PCREL)
		return v + here;
	if ((enc & PE_BASE) != 0)
		c->bad = true;
	return v;
}

struct cie {
	size_t at;      /* where it was read, to reuse it for the FDEs that follow */
	uint8_t pc_enc; /* of pc_begin; its form is also that of the length */
	bool has_aug;   /* 'z': FDEs carry augmentation data */
	bool has_lsda;  /* 'L': whose first item is the LSDA pointer */
	uint8_t lsda_enc;
};

static void parse_augmentation(struct cursor *c, const char *aug, struct cie *cie)
{
	take_uleb(c); /* length of the augmentation data */
	for (aug++; *aug && !c->bad; aug++) {
		if (*aug == 'R') {
			cie->pc_enc = (uint8_t)take(c, 1);
		} else if (*aug == 'L') {
			cie->lsda_enc = (uint8_t)take(c, 1);
			cie->has_lsda = cie->lsda_enc != PE_OMIT;
		} else if (*aug == 'P') {
			uint8_t enc = (uint8_t)take(c, 1);

			/* An indirect personality points through the GOT: only its width matters. */
			take_form(c, enc & PE_FORM);
		} else if (*aug != 'S' && *aug != 'B') {
			c->bad = true;
		}
	}
}

/* Reads the CIE whose length field is at `at`. */
static bool parse_cie(const struct cursor *all, size_t at, struct cie *cie)
{
	struct cursor c = *all;
	const char *aug;
	uint64_t len;
	uint8_t version;

	c.at = at;
	c.bad = false;
	len = take(&c, 4);
	if (len == 0xffffffff)
		len = take(&c, 8);
	if (c.bad || len > c.end - c.at)
		return false;
	c.end = c.at + len;
	if (take(&c, 4) != 0)
		return false;
	version = (uint8_t)take(&c, 1);
	aug = (const char *)c.data + c.at;
	while (take(&c, 1) && !c.bad)
		;
	*cie = (struct cie){ .at = at, .pc_enc = PE_ABSPTR };
	take_uleb(&c); /* code alignment */
	take_uleb(&c); /* data alignment, signed, but only its length matters */
	if (version == 1)
		take(&c, 1);
	else
		take_uleb(&c); /* return register */
	if (!c.bad && *aug == 'z') {
		cie->has_aug = true;
		parse_augmentation(&c, aug, cie);
	}
	return !c.bad;
}

static bool parse_fde(struct cursor *c, const struct cie *cie, uint64_t *start, uint64_t *end,
		      bool *has_lsda)
{
	*start = take_encoded(c, cie->pc_enc);
	*end = *start + take_form(c, cie->pc_enc & PE_FORM);
	*has_lsda = false;
	if (cie->has_aug && take_uleb(c) && cie->has_lsda)
		*has_lsda = take_form(c, cie->lsda_enc & PE_FORM) != 0;
	return !c->bad && *end > *start;
}

int ehframe_each(const uint8_t *data, size_t len, uint64_t vaddr,
		 int (*fn)(uint64_t start, uint64_t end, bool has_lsda, void *ctx), void *ctx)
{
	struct cursor all = { .data = data, .end = len, .vaddr = vaddr };
	struct cie cie = { .at = SIZE_MAX };

	while (all.end - all.at >= 4) {
		uint64_t size = take(&all, 4), start, end, id;
		struct cursor c;
		size_t id_at;
		bool has_lsda;
		int rc;

		if (size == 0)
			continue; /* crtend's terminator may stand in the middle after a link */
		if (size == 0xffffffff)
			size = take(&all, 8);
		if (all.bad || size < 4 || size > all.end - all.at)
			return 0;
		c = all;
		c.end = all.at + size;
		id_at = all.at;
		all.at += size;
		id = take(&c, 4);
		if (id == 0)
			continue;
		if (id > id_at)
			return 0;
		if (cie.at != id_at - id && !parse_cie(&all, id_at - id, &cie)) {
			cie.at = SIZE_MAX;
			continue;
		}
		if (!parse_fde(&c, &cie, &start, &end, &has_lsda))
			continue;
		rc = fn(start, end, has_lsda, ctx);
		if (rc)
			return rc;
	}
	return 0;
}

uint64_t ehframe_from_hdr(const uint8_t *hdr, size_t len, uint64_t hdr_vaddr)
{
	struct cursor c = { .data = hdr, .end = len, .vaddr = hdr_vaddr };
	uint8_t version = (uint8_t)take(&c, 1), enc = (uint8_t)take(&c, 1);
	uint64_t at;

	take(&c, 2); /* encodings of the search table */
	at = take_encoded(&c, enc);
	return c.bad || version != 1 ? 0 : at;
}
