/* SPDX-License-Identifier: MIT */
/*
 * fmt: human sizes, durations and times; one spelling everywhere.
 * L0 base. Each function writes into the caller's buffer and returns it.
 */
#ifndef LMT_BASE_FMT_H
#define LMT_BASE_FMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fmtbuf {
	char s[48];
};

const char *fmt_bytes(struct fmtbuf *b, uint64_t bytes);         /* "1.5 MiB" */
const char *fmt_signed_bytes(struct fmtbuf *b, int64_t bytes);   /* "+1.5 MiB" */
const char *fmt_count(struct fmtbuf *b, uint64_t n);             /* "1,234,567" */
const char *fmt_seconds(struct fmtbuf *b, uint64_t ns);          /* "5.0 s" */
/* RFC 3339 with nanoseconds, UTC, of a CLOCK_REALTIME time. */
const char *fmt_rfc3339(struct fmtbuf *b, uint64_t realtime_ns);

/*
 * "was killed by signal 11 (Segmentation fault)" of what wait() says; "" when it is not known
 * (-1).
 */
const char *fmt_exit_status(int status, char *buf, size_t size);

/* "@app.lua:12" or "=stdin" as people read it: without Lua's mark of what kind of name it is. */
static inline const char *fmt_chunk(const char *where)
{
	return where + (*where == '@' || *where == '=');
}

/*
 * A whole number with an optional suffix k, M, G (powers of 1024), nothing else.
 * False when it is not one or exceeds max.
 */
bool fmt_parse_u64(const char *s, uint64_t max, uint64_t *ret);

/* A time: a number with ms, s, m or h behind it, or of `unit` seconds. False when it is not one. */
bool fmt_parse_time(const char *s, double unit, double *ret);

/* The word of the list, NULL-terminated, that is like s but for a letter or two; NULL: none is. */
const char *fmt_similar(const char *s, const char *const *list);

#endif
