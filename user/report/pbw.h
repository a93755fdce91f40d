/* SPDX-License-Identifier: MIT */
/*
 * pbw: writes protocol buffers: varints and length-delimited fields, which is all that profiles
 * need. L6 report. Must not know what it writes.
 */
#ifndef LMT_REPORT_PBW_H
#define LMT_REPORT_PBW_H

#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"

struct pbw {
	vec_of(uint8_t) bytes;
	int rc; /* -ENOMEM once memory ran out */
};

void pbw_deinit(struct pbw *w);
void pbw_clear(struct pbw *w);

void pbw_varint(struct pbw *w, uint64_t v);             /* bare */
void pbw_u64(struct pbw *w, unsigned int field, uint64_t v); /* left out when 0, as the default */
void pbw_bytes(struct pbw *w, unsigned int field, const void *p, size_t len);
void pbw_str(struct pbw *w, unsigned int field, const char *s);
void pbw_message(struct pbw *w, unsigned int field, const struct pbw *inner);
void pbw_packed(struct pbw *w, unsigned int field, const uint64_t *v, size_t n);

#endif
