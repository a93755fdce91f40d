/* SPDX-License-Identifier: MIT */
/* Files of suppressions and their patterns. A target for libFuzzer, or for drive.c. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap/suppress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void match(const uint8_t *data, size_t size)
{
	char pattern[200], text[200];
	size_t half = size / 2 < sizeof(text) ? size / 2 : sizeof(text) - 1;

	memcpy(pattern, data, half);
	memcpy(text, data + half, half);
	pattern[half] = text[half] = '\0';
	suppress_match(pattern, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("input", MFD_CLOEXEC);
	struct suppressions *s = NULL;
	struct errmsg err;
	char path[64];

	match(data, size);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!suppress_read(path, &s, &err))
		suppress_free(s);
	close(fd);
	return 0;
}
