/* SPDX-License-Identifier: MIT */
/*
 * Stands in for libbpf's header when BPF code is compiled for the host: maps are arrays that the
 * test hands to fake_map(); memory of the "target" is the test's own.
 */
#ifndef LMT_TESTS_FAKE_BPF_HELPERS_H
#define LMT_TESTS_FAKE_BPF_HELPERS_H

#include <string.h>

#define SEC(name)
#define __uint(name, val) int(*name)[val]
#define __type(name, val) __typeof__(val) *name
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define __weak __attribute__((weak))

#define FAKE_MAPS 16

static struct fake_map {
	const void *map;
	char *values;
	__u32 value_size, n;
} fake_maps[FAKE_MAPS];

/* The map is an array of these values from now on. */
static inline void fake_map(const void *map, void *values, __u32 value_size, __u32 n)
{
	for (int i = 0; i < FAKE_MAPS; i++) {
		if (fake_maps[i].map && fake_maps[i].map != map)
			continue;
		fake_maps[i] = (struct fake_map){ map, values, value_size, n };
		return;
	}
	__builtin_trap();
}

/* An array map: NULL beyond its end, as in the kernel. */
static inline void *bpf_map_lookup_elem(const void *map, const void *key)
{
	__u32 i = *(const __u32 *)key;

	for (int k = 0; k < FAKE_MAPS; k++)
		if (fake_maps[k].map == map)
			return i < fake_maps[k].n ? fake_maps[k].values +
							    (unsigned long)i * fake_maps[k].value_size
						  : 0;
	return 0;
}

static inline long bpf_probe_read_user(void *to, __u32 size, const void *from)
{
	memcpy(to, from, size);
	return 0;
}

/* No test needs these: they fail as the kernel's do when memory is short. */
static inline void *bpf_get_current_task_btf(void)
{
	return 0;
}

static inline void *bpf_task_storage_get(void *map, void *task, void *value, __u64 flags)
{
	(void)map, (void)task, (void)value, (void)flags;
	return 0;
}

#endif
