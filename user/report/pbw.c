/* SPDX-License-Identifier: MIT */
#include "pbw.h"

#include <errno.h>
#include <string.h>

void pbw_deinit(struct pbw *w)
{
	vec_deinit(&w->bytes);
}

void pbw_clear(struct pbw *w)
{
	w->bytes.n = 0;
}

static void put(struct pbw *w, uint8_t byte)
{
	if (vec_push(&w->bytes, byte))
		w->rc = -ENOMEM;
}

void pbw_varint(struct pbw *w, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		put(w, (uint8_t)(v | 0x80));
	put(w, (uint8_t)v);
}

static void tag(struct pbw *w, unsigned int field, unsigned int wire_type)
{
	pbw_varint(w, (uint64_t)field << 3 | wire_type);
}

void pbw_u64(struct pbw *w, unsigned int field, uint64_t v)
{
	if (!v)
		return;
	tag(w, field, 0);
	pbw_varint(w, v);
}

void pbw_bytes(struct pbw *w, unsigned int field, const void *p, size_t len)
{
	const uint8_t *byte = p;

	tag(w, field, 2);
	pbw_varint(w, len);
	for (size_t i = 0; i < len; i++)
		put(w, byte[i]);
}

void pbw_str(struct pbw *w, unsigned int field, const char *s)
{
	pbw_bytes(w, field, s, strlen(s));
}

void pbw_message(struct pbw *w, unsigned int field, const struct pbw *inner)
{
	pbw_bytes(w, field, inner->bytes.v, inner->bytes.n);
	if (inner->rc)
		w->rc = inner->rc;
}

void pbw_packed(struct pbw *w, unsigned int field, const uint64_t *v, size_t n)
{
	struct pbw inner = { .rc = 0 };

	for (size_t i = 0; i < n; i++)
		pbw_varint(&inner, v[i]);
	pbw_message(w, field, &inner);
	pbw_deinit(&inner);
}
