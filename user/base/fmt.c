/* SPDX-License-Identifier: MIT */
#include "fmt.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

const char *fmt_bytes(struct fmtbuf *b, uint64_t bytes)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)bytes;
	int i = 0;

	for (; v >= 1024 && i < 4; i++)
		v /= 1024;
	if (i == 0)
		snprintf(b->s, sizeof(b->s), "%" PRIu64 " B", bytes);
	else
		snprintf(b->s, sizeof(b->s), "%.1f %s", v, unit[i]);
	return b->s;
}

const char *fmt_signed_bytes(struct fmtbuf *b, int64_t bytes)
{
	struct fmtbuf abs;

	fmt_bytes(&abs, bytes < 0 ? 0 - (uint64_t)bytes : (uint64_t)bytes);
	snprintf(b->s, sizeof(b->s), "%s%.40s", bytes < 0 ? "-" : "+", abs.s);
	return b->s;
}

const char *fmt_count(struct fmtbuf *b, uint64_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	int o = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			b->s[o++] = ',';
		b->s[o++] = digits[i];
	}
	b->s[o] = '\0';
	return b->s;
}

const char *fmt_seconds(struct fmtbuf *b, uint64_t ns)
{
	snprintf(b->s, sizeof(b->s), "%.1f s", (double)ns / 1e9);
	return b->s;
}

const char *fmt_rfc3339(struct fmtbuf *b, uint64_t realtime_ns)
{
	time_t sec = (time_t)(realtime_ns / 1000000000u);
	struct tm tm;
	size_t n;

	gmtime_r(&sec, &tm);
	n = strftime(b->s, sizeof(b->s), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(b->s + n, sizeof(b->s) - n, ".%09uZ", (unsigned)(realtime_ns % 1000000000u));
	return b->s;
}

bool fmt_parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	static const char suffix[] = "kMG";
	unsigned long long v;
	const char *unit;
	char *end;
	int shift = 0;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return false;
	if (*end && (unit = strchr(suffix, *end == 'K' ? 'k' : *end))) {
		shift = 10 * (int)(unit - suffix + 1);
		end++;
	}
	if (*end || v > max >> shift)
		return false;
	*ret = (uint64_t)v << shift;
	return true;
}

bool fmt_parse_time(const char *s, double unit, double *ret)
{
	static const struct { const char *name; double seconds; } units[] = {
		{ "ms", 0.001 }, { "s", 1 }, { "m", 60 }, { "h", 3600 },
	};
	double v;
	char *end;

	if (!isdigit((unsigned char)*s) && *s != '.')
		return false;
	v = strtod(s, &end);
	if (end == s || !isfinite(v))
		return false;
	for (size_t i = 0; *end && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name))
			continue;
		*ret = v * units[i].seconds;
		return true;
	}
	*ret = v * unit;
	return !*end;
}

#define SIMILAR_LETTERS 31 /* of a word that is compared */

/* Letters to be put in, left out, changed or swapped with the next one to come from a to b. */
static size_t distance(const char *a, const char *b)
{
	size_t d[SIMILAR_LETTERS + 1][SIMILAR_LETTERS + 1], n = strlen(a), k = strlen(b);

	if (n > SIMILAR_LETTERS || k > SIMILAR_LETTERS)
		return SIMILAR_LETTERS;
	for (size_t i = 0; i <= n; i++) {
		for (size_t j = 0; j <= k; j++) {
			size_t best = !i ? j : d[i - 1][j] + 1;

			if (i && j && d[i - 1][j - 1] + (a[i - 1] != b[j - 1]) < best)
				best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (j && (!i || d[i][j - 1] + 1 < best))
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[n][k];
}

const char *fmt_similar(const char *s, const char *const *list)
{
	size_t least = strlen(s) < 5 ? 2 : 3; /* as many are too many */
	const char *best = NULL;

	for (; *list; list++) {
		size_t d = distance(s, *list);

		if (d >= least)
			continue;
		least = d;
		best = *list;
	}
	return best;
}

const char *fmt_exit_status(int status, char *buf, size_t size)
{
	buf[0] = '\0';
	if (status >= 0 && WIFSIGNALED(status))
		snprintf(buf, size, "was killed by signal %d (%s)%s", WTERMSIG(status),
			 strsignal(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "");
	else if (status > 0 && WIFEXITED(status))
		snprintf(buf, size, "ended with status %d", WEXITSTATUS(status));
	return buf;
}
