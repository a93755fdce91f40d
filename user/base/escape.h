/* SPDX-License-Identifier: MIT */
/*
 * escape: text that came from a target, made harmless for a terminal or for JSON.
 * L0 base. Input is bytes of unknown encoding; output is always valid UTF-8.
 */
#ifndef LMT_BASE_ESCAPE_H
#define LMT_BASE_ESCAPE_H

#include <stddef.h>

/*
 * Writes at most size bytes including the terminator and returns the length written.
 * Control characters, bytes that are not UTF-8 and bidirectional overrides become \xNN;
 * a backslash becomes \\, so the result can be told from the escapes. Never cuts an escape or a
 * character in two.
 */
size_t escape_term(char *out, size_t size, const char *s);

/* The same for the inside of a JSON string (quotes not included). */
size_t escape_json(char *out, size_t size, const char *s);

/* Length of the well-formed UTF-8 sequence at s (1..4), or 0 if there is none. */
size_t escape_utf8_len(const char *s);

#endif
