/* SPDX-License-Identifier: MIT */
/*
 * proc: what /proc says about a process. The only reader of /proc besides resolve/memread.
 * L1 discover. Must not know ELF or Lua.
 */
#ifndef LMT_DISCOVER_PROC_H
#define LMT_DISCOVER_PROC_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/vec.h"

enum { PROC_R = 1, PROC_W = 2, PROC_X = 4 };

/* One line of /proc/PID/maps. */
struct proc_map {
	uint64_t start, end; /* target addresses */
	uint64_t offset;     /* in the file, bytes */
	uint64_t dev, inode; /* inode 0: anonymous */
	unsigned int prot;   /* PROC_R | PROC_W | PROC_X */
	bool deleted;
	char *path;          /* "" when anonymous; owned by the vector */
};

struct proc_maps {
	vec_of(struct proc_map) maps; /* by address */
};

void proc_maps_deinit(struct proc_maps *m);

/*
 * One line of maps or smaps, which is written to; ret->path is the caller's. -EINVAL: it is none,
 * -ENOMEM.
 */
int proc_parse_map(char *line, struct proc_map *ret);

/* Reads the maps afresh; on failure *m is unchanged. -ESRCH, -EACCES, -ENOMEM. */
int proc_read_maps(pid_t pid, struct proc_maps *m);

/* The mapping that holds the address, or NULL. Borrowed. */
const struct proc_map *proc_find_map(const struct proc_maps *m, uint64_t uaddr);

struct proc_info {
	uint64_t start_ticks;   /* field 22 of stat: tells a reused pid from the old one */
	uint64_t start_realtime_ns;
	char comm[64];
	char exe[PATH_MAX];     /* as the target sees it, without " (deleted)" */
	char container[256];    /* cgroup path, "" at the root */
	uid_t uid;
};

/* -ESRCH when there is no such process, or it is a zombie or a kernel thread. */
int proc_read_info(pid_t pid, struct proc_info *ret);

/* True while the process exists, is no zombie, and started at start_ticks. */
bool proc_is_alive(pid_t pid, uint64_t start_ticks);

/*
 * The path in map_files that leads to the mapped file, also to a deleted one and on overlays; "" where
 * we may not go that way, and within_open() of the map's path is what is left.
 */
void proc_file_of(pid_t pid, const struct proc_map *map, char path[PATH_MAX]);

/*
 * How the process behind pid_fd ended, as wait() would say, also when it is not our child: from
 * its zombie, or from its pidfd when that is gone (kernel 6.15). -1: not known, or it lives.
 */
int proc_exit_status(int pid_fd, pid_t pid);

/* Calls fn for every process until it returns non-zero; that value or 0. */
int proc_each(int (*fn)(pid_t pid, void *ctx), void *ctx);

/* The first line of a small text file of the kernel; its length or a negative errno. */
int proc_read_text(const char *path, char *buf, size_t size);

/* Size of the mapped libraries' code; changes when one is loaded or unloaded. 0 when unknown. */
uint64_t proc_library_kib(pid_t pid);

enum proc_bits { PROC_BITS_64, PROC_BITS_32, PROC_BITS_UNREADABLE };

/* Word size of the program, from its ELF header. */
enum proc_bits proc_read_bits(pid_t pid);

/* How long the main thread was ready but had no processor, in nanoseconds; 0 when not told. */
uint64_t proc_wait_ns(pid_t pid);

/* Is the process in the cgroup or below it, in any hierarchy? "/" holds every process. */
bool proc_in_cgroup(pid_t pid, const char *wanted);

/*
 * Are the process numbers we see those of the whole system, which the kernel gives to BPF programs?
 * Not inside a container with PIDs of its own.
 */
bool proc_pids_are_global(void);

#endif
