/* SPDX-License-Identifier: MIT */
#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "within.h"

#define DELETED " (deleted)"

void proc_maps_deinit(struct proc_maps *m)
{
	vec_each(e, &m->maps)
		free(e->path);
	vec_deinit(&m->maps);
}

/* The kernel writes a newline in a file name as \012; nothing else is escaped. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (!strncmp(s, "\\012", 4)) {
			*to++ = '\n';
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

int proc_parse_map(char *line, struct proc_map *ret)
{
	unsigned int major, minor;
	char prot[8];
	int path_at = 0;
	size_t len;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %" SCNu64 " %n",
		   &ret->start, &ret->end, prot, &ret->offset, &major, &minor, &ret->inode,
		   &path_at) < 7)
		return -EINVAL;
	ret->dev = makedev(major, minor);
	ret->prot = (prot[0] == 'r' ? PROC_R : 0u) | (prot[1] == 'w' ? PROC_W : 0u) |
		    (prot[2] == 'x' ? PROC_X : 0u);
	ret->path = strdup(path_at ? line + path_at : "");
	if (!ret->path)
		return -ENOMEM;
	len = strlen(ret->path);
	ret->deleted = len > strlen(DELETED) &&
		       !strcmp(ret->path + len - strlen(DELETED), DELETED);
	if (ret->deleted)
		ret->path[len - strlen(DELETED)] = '\0';
	unescape(ret->path);
	return 0;
}

static int errno_of_proc(void)
{
	return errno == ENOENT ? -ESRCH : -errno;
}

int proc_read_maps(pid_t pid, struct proc_maps *m)
{
	auto_fclose FILE *f = NULL;
	auto_free char *line = NULL;
	struct proc_maps fresh = { 0 };
	char path[64];
	size_t cap = 0;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return errno_of_proc();
	while ((len = getline(&line, &cap, f)) > 0) {
		struct proc_map e = { 0 };
		int rc;

		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		rc = proc_parse_map(line, &e);
		if (rc == -EINVAL)
			continue;
		if (rc || vec_push(&fresh.maps, e)) {
			free(e.path);
			proc_maps_deinit(&fresh);
			return -ENOMEM;
		}
	}
	if (!fresh.maps.n) { /* an empty file: a zombie or a kernel thread */
		proc_maps_deinit(&fresh);
		return ferror(f) ? -EACCES : -ESRCH;
	}
	proc_maps_deinit(m);
	*m = fresh;
	return 0;
}

const struct proc_map *proc_find_map(const struct proc_maps *m, uint64_t uaddr)
{
	size_t lo = 0, hi = m->maps.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->maps.v[mid].end <= uaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < m->maps.n && m->maps.v[lo].start <= uaddr ? &m->maps.v[lo] : NULL;
}

/* The whole of a small /proc file, NUL-terminated; its length or a negative errno. */
static ssize_t read_small(pid_t pid, const char *name, char *buf, size_t size)
{
	auto_close int fd = -1;
	char path[64];
	size_t n = 0;
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno_of_proc();
	while (n < size - 1 && (got = read(fd, buf + n, size - 1 - n)) > 0)
		n += (size_t)got;
	buf[n] = '\0';
	return (ssize_t)n;
}

/* State letter and start time; stat's second field may hold any byte, so go by the last ')'. */
static int read_stat(pid_t pid, char *state, uint64_t *start_ticks)
{
	char buf[1024], *p;
	ssize_t n = read_small(pid, "stat", buf, sizeof(buf));

	if (n < 0)
		return (int)n;
	p = strrchr(buf, ')');
	if (!p || sscanf(p + 1, " %c", state) != 1)
		return -ESRCH;
	for (int field = 3; p && field <= 22; field++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, "%" SCNu64, start_ticks) != 1)
		return -ESRCH;
	return 0;
}

bool proc_is_alive(pid_t pid, uint64_t start_ticks)
{
	uint64_t ticks;
	char state;

	return !read_stat(pid, &state, &ticks) && state != 'Z' && state != 'X' &&
	       ticks == start_ticks;
}

static uint64_t boot_realtime_ns(void)
{
	struct timespec real, boot;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (uint64_t)(real.tv_sec - boot.tv_sec) * 1000000000u + (uint64_t)real.tv_nsec -
	       (uint64_t)boot.tv_nsec;
}

static void read_exe(pid_t pid, char exe[PATH_MAX])
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, exe, PATH_MAX - 1);
	exe[n > 0 ? n : 0] = '\0';
	if (n > (ssize_t)strlen(DELETED) && !strcmp(exe + n - strlen(DELETED), DELETED))
		exe[n - (ssize_t)strlen(DELETED)] = '\0';
}

/* The longest cgroup path that is not "/": v2's only line, or the most specific of v1. */
static void read_container(pid_t pid, char *out, size_t size)
{
	char buf[8192], *save = NULL;

	out[0] = '\0';
	if (read_small(pid, "cgroup", buf, sizeof(buf)) <= 0)
		return;
	for (char *l = strtok_r(buf, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *path = strchr(l, ':');

		path = path ? strchr(path + 1, ':') : NULL;
		if (path && strlen(path + 1) > 1 && strlen(path + 1) > strlen(out))
			snprintf(out, size, "%s", path + 1);
	}
}

bool proc_in_cgroup(pid_t pid, const char *wanted)
{
	char buf[8192], *save = NULL;
	size_t n = strlen(wanted);

	while (n > 1 && wanted[n - 1] == '/')
		n--;
	if (read_small(pid, "cgroup", buf, sizeof(buf)) <= 0)
		return false;
	for (char *l = strtok_r(buf, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		const char *path = strchr(l, ':');

		path = path ? strchr(path + 1, ':') : NULL;
		if (path && !strncmp(++path, wanted, n) && (!path[n] || path[n] == '/' || n == 1))
			return true;
	}
	return false;
}

int proc_read_info(pid_t pid, struct proc_info *ret)
{
	struct proc_info info = { 0 };
	char path[64];
	struct stat st;
	char state;
	int rc = read_stat(pid, &state, &info.start_ticks);

	if (rc)
		return rc;
	if (state == 'Z' || state == 'X')
		return -ESRCH;
	info.start_realtime_ns = boot_realtime_ns() +
		info.start_ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
	if (read_small(pid, "comm", info.comm, sizeof(info.comm)) > 0)
		info.comm[strcspn(info.comm, "\n")] = '\0';
	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (!stat(path, &st))
		info.uid = st.st_uid;
	read_exe(pid, info.exe);
	read_container(pid, info.container, sizeof(info.container));
	*ret = info;
	return 0;
}

void proc_file_of(pid_t pid, const struct proc_map *map, char path[PATH_MAX])
{
	struct stat st;

	snprintf(path, PATH_MAX, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, map->start,
		 map->end);
	if (stat(path, &st))
		path[0] = '\0';
}

int proc_each(int (*fn)(pid_t pid, void *ctx), void *ctx)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int rc = 0;

	if (!d)
		return -errno;
	while (!rc && (e = readdir(d)))
		if (isdigit((unsigned char)e->d_name[0]))
			rc = fn((pid_t)atoi(e->d_name), ctx);
	closedir(d);
	return rc;
}

int proc_read_text(const char *path, char *buf, size_t size)
{
	auto_fclose FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	if (!fgets(buf, (int)size, f))
		buf[0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return (int)strlen(buf);
}

uint64_t proc_library_kib(pid_t pid)
{
	char buf[4096];
	const char *line;

	if (read_small(pid, "status", buf, sizeof(buf)) <= 0)
		return 0;
	line = strstr(buf, "\nVmLib:");
	return line ? strtoull(line + strlen("\nVmLib:"), NULL, 10) : 0;
}

enum proc_bits proc_read_bits(pid_t pid)
{
	unsigned char ident[5];
	auto_close int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = within_open_own(path);
	if (fd < 0 || read(fd, ident, sizeof(ident)) != (ssize_t)sizeof(ident))
		return PROC_BITS_UNREADABLE;
	return ident[4] == 2 /* ELFCLASS64 */ ? PROC_BITS_64 : PROC_BITS_32;
}

/* linux/pidfd.h of 6.15; the headers here may be older. */
struct pidfd_info_v1 {
	uint64_t mask, cgroupid;
	uint32_t pid, tgid, ppid, ids[8];
	int32_t exit_code;
};
#define PIDFD_GET_INFO_V1 _IOWR(0xFF, 11, struct pidfd_info_v1)
#define PIDFD_INFO_EXIT_BIT (1u << 3)

int proc_exit_status(int pid_fd, pid_t pid)
{
	struct pidfd_info_v1 info = { .mask = PIDFD_INFO_EXIT_BIT };
	char path[64], stat[1024], *at, state;

	_Static_assert(sizeof(info) == 64, "size of the first version");
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (proc_read_text(path, stat, sizeof(stat)) > 0 && (at = strrchr(stat, ')')) &&
	    sscanf(at, ") %c", &state) == 1 && state == 'Z' && (at = strrchr(at, ' ')))
		return atoi(at + 1); /* exit_code is the last field */
	if (ioctl(pid_fd, PIDFD_GET_INFO_V1, &info) || !(info.mask & PIDFD_INFO_EXIT_BIT))
		return -1;
	return info.exit_code;
}

uint64_t proc_wait_ns(pid_t pid)
{
	unsigned long long run, wait = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &run, &wait) != 2)
		wait = 0;
	fclose(f);
	return wait;
}

#define FIRST_PID_NS "pid:[4026531836]" /* PROC_PID_INIT_INO of the kernel */

bool proc_pids_are_global(void)
{
	char text[64];
	ssize_t n = readlink("/proc/self/ns/pid", text, sizeof(text) - 1);

	if (n < 0)
		return true; /* an old kernel */
	text[n] = '\0';
	return !strcmp(text, FIRST_PID_NS);
}
