/* SPDX-License-Identifier: MIT */
/*
 * Drives a fuzz target without libFuzzer: mutates the files it is given, a fixed number of times
 * from a fixed seed, so that a failure can be repeated.
 *
 * usage: TARGET COUNT SEED FILE…
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state;

static uint64_t rnd(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return below ? state % below : 0;
}

static uint64_t value(void)
{
	static const uint64_t odd[] = { 0, 1, 7, 8, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000,
					0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff,
					0xfffffffffffff000, 1ull << 40 };

	return rnd(3) ? odd[rnd(sizeof(odd) / sizeof(*odd))] : rnd(0);
}

/* Where offsets, sizes and counts are: headers, the section table of ELF, the pages of SQLite. */
static size_t place(const uint8_t *data, size_t size)
{
	bool elf = !memcmp(data, "\177ELF", 4);
	uint64_t shoff;

	memcpy(&shoff, data + 40, 8);
	if (!elf) /* the head of a page, its cell pointers, its cells */
		return (rnd(size) & ~4095ull) + (rnd(2) ? rnd(4096) : rnd(64));
	switch (rnd(4)) {
	case 0:
		return rnd(64 + 13 * 56);
	case 1:
		return shoff < size ? shoff + rnd(size - shoff) : rnd(size);
	case 2: /* dynamic symbols, strings and relocations come early */
		return rnd(size / 8);
	default:
		return rnd(size);
	}
}

static size_t mutate(uint8_t *data, size_t size)
{
	if (rnd(10) == 0)
		return 64 + rnd(size - 64); /* cut short */
	for (uint64_t n = 1 + rnd(12); n; n--) {
		size_t at = place(data, size), width = (size_t)1 << rnd(4);
		uint64_t v = value();

		if (at + width <= size)
			memcpy(data + at, &v, width);
	}
	return size;
}

static uint8_t *slurp(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(8u << 20);

	*size = f && data ? fread(data, 1, 8u << 20, f) : 0;
	if (f)
		fclose(f);
	return data;
}

int main(int argc, char **argv)
{
	long count = argc > 2 ? atol(argv[1]) : 0;

	state = argc > 2 ? strtoull(argv[2], NULL, 0) * 2 + 1 : 1;
	for (int i = 3; i < argc; i++) {
		size_t size;
		uint8_t *seed = slurp(argv[i], &size), *data = malloc(size + 64);

		if (!seed || !data)
			return 1;
		LLVMFuzzerTestOneInput(seed, size);
		for (long k = 0; k < count && size > 1024; k++) {
			memcpy(data, seed, size);
			LLVMFuzzerTestOneInput(data, mutate(data, size));
		}
		free(seed);
		free(data);
	}
	printf("%ld mutations of each of %d files\n", count, argc - 3);
	return 0;
}
