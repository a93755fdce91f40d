/* SPDX-License-Identifier: MIT */
#include "escape.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

size_t escape_utf8_len(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	unsigned int cp;
	size_t n;

	if (u[0] < 0x80)
		return u[0] ? 1 : 0;
	if (u[0] >= 0xc2 && u[0] <= 0xdf)
		n = 2;
	else if (u[0] >= 0xe0 && u[0] <= 0xef)
		n = 3;
	else if (u[0] >= 0xf0 && u[0] <= 0xf4)
		n = 4;
	else
		return 0;
	cp = u[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (u[i] & 0x3f);
	}
	if ((n == 3 && cp < 0x800) || (n == 4 && (cp < 0x10000 || cp > 0x10ffff)))
		return 0;
	return cp >= 0xd800 && cp <= 0xdfff ? 0 : n;
}

/* Invisible characters that reorder or hide what a person reads: C1 controls, bidi marks. */
static bool is_deceptive(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;

	if (len == 2)
		return u[0] == 0xc2 && u[1] < 0xa0;
	if (len == 3 && u[0] == 0xe2 && u[1] == 0x80)
		return u[2] == 0x8e || u[2] == 0x8f || (u[2] >= 0xa8 && u[2] <= 0xae);
	return len == 3 && u[0] == 0xe2 && u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9;
}

struct sink {
	char *out;
	size_t size;
	size_t n;
	bool full;
};

static void put(struct sink *o, const char *s, size_t len)
{
	if (o->full || o->n + len >= o->size) {
		o->full = true;
		return;
	}
	memcpy(o->out + o->n, s, len);
	o->n += len;
}

static size_t finish(struct sink *o)
{
	if (o->size)
		o->out[o->n] = '\0';
	return o->n;
}

size_t escape_term(char *out, size_t size, const char *s)
{
	struct sink o = { .out = out, .size = size };
	char hex[8];

	while (*s && !o.full) {
		size_t len = escape_utf8_len(s);

		if (len == 0 || (unsigned char)*s < 0x20 || *s == 0x7f || is_deceptive(s, len)) {
			len = len ? len : 1;
			for (size_t i = 0; i < len; i++)
				put(&o, hex, (size_t)snprintf(hex, sizeof(hex), "\\x%02x",
							      (unsigned char)s[i]));
		} else if (*s == '\\') {
			put(&o, "\\\\", 2);
		} else {
			put(&o, s, len);
		}
		s += len;
	}
	return finish(&o);
}

size_t escape_json(char *out, size_t size, const char *s)
{
	struct sink o = { .out = out, .size = size };
	char hex[12];

	while (*s && !o.full) {
		size_t len = escape_utf8_len(s);
		unsigned char c = (unsigned char)*s;

		if (len == 0) {
			/* Not UTF-8: the byte as the code point of the same number. */
			put(&o, hex, (size_t)snprintf(hex, sizeof(hex), "\\u00%02x", c));
			len = 1;
		} else if (c == '"' || c == '\\') {
			hex[0] = '\\';
			hex[1] = (char)c;
			put(&o, hex, 2);
		} else if (c < 0x20 || c == 0x7f || c == '<') {
			put(&o, hex, (size_t)snprintf(hex, sizeof(hex), "\\u%04x", c));
		} else if (is_deceptive(s, len)) {
			unsigned int cp = len == 2 ? (c & 0x1fu) << 6 | (s[1] & 0x3fu)
				: (c & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);

			put(&o, hex, (size_t)snprintf(hex, sizeof(hex), "\\u%04x", cp));
		} else {
			put(&o, s, len);
		}
		s += len;
	}
	return finish(&o);
}
