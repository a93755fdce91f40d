/* SPDX-License-Identifier: MIT */
/*
 * unit: what every unit test includes first: cmocka and what it needs, a file made of bytes.
 */
#ifndef LMT_TESTS_UNIT_H
#define LMT_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define N_OF(a) (sizeof(a) / sizeof((a)[0]))

struct memfile {
	int fd;
	char path[64]; /* for functions that open by name */
};

/* A file that holds these bytes and is on no disk; to be given to memfile_close(). */
static inline struct memfile memfile_of(const void *bytes, size_t len)
{
	struct memfile f = { .fd = memfd_create("unit", MFD_CLOEXEC) };

	assert_true(f.fd >= 0);
	assert_int_equal(write(f.fd, bytes, len), (ssize_t)len);
	snprintf(f.path, sizeof(f.path), "/proc/self/fd/%d", f.fd);
	return f;
}

static inline void memfile_close(struct memfile *f)
{
	close(f->fd);
}

/* The whole of a file, its length in *len; the caller's. */
static inline uint8_t *slurp(const char *path, size_t *len)
{
	FILE *f = fopen(path, "re");
	uint8_t *buf;

	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	*len = (size_t)ftell(f);
	rewind(f);
	buf = malloc(*len + 1);
	assert_non_null(buf);
	assert_int_equal(fread(buf, 1, *len, f), *len);
	buf[*len] = '\0';
	fclose(f);
	return buf;
}

#endif
