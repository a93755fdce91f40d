/* SPDX-License-Identifier: MIT */
#include "within.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

static bool same_namespace(pid_t pid)
{
	char path[64], theirs[64] = "", ours[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	return readlink(path, theirs, sizeof(theirs) - 1) > 0 &&
	       readlink("/proc/self/ns/mnt", ours, sizeof(ours) - 1) > 0 && !strcmp(theirs, ours);
}

void within_root(pid_t pid, char root[WITHIN_ROOT])
{
	struct stat theirs, ours;

	snprintf(root, WITHIN_ROOT, "/proc/%d/root", pid);
	if (same_namespace(pid) && !stat(root, &theirs) && !stat("/", &ours) &&
	    theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino)
		snprintf(root, WITHIN_ROOT, "/");
}

const char *within_name(const char *root, const char *path)
{
	char led[PATH_MAX];
	ssize_t n = readlink(root, led, sizeof(led));

	if (n <= 1 || n == sizeof(led) || strncmp(path, led, (size_t)n) || path[n] != '/')
		return path;
	return path + n;
}

/* What was found is opened by its descriptor: no name is asked again. */
static int open_regular(int found)
{
	char path[64];
	struct stat st;
	int fd;

	if (fstat(found, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EFBIG;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int within_open_own(const char *path)
{
	auto_close int found = open(path, O_PATH | O_CLOEXEC);

	return found < 0 ? -errno : open_regular(found);
}

/* One name of the path; -ELOOP for a link, since where it leads cannot be bounded here. */
static int step(int dir, const char *name)
{
	struct stat st;
	int fd;

	if (!strcmp(name, ".."))
		return -ELOOP;
	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || S_ISLNK(st.st_mode)) {
		close(fd);
		return -ELOOP;
	}
	return fd;
}

/*
 * Where openat2() is missing or forbidden: name by name, through no link. What /proc says of
 * mappings has none.
 */
static int find_by_steps(int root, const char *path)
{
	char names[PATH_MAX], *save = NULL;
	int at = dup(root);

	if (snprintf(names, sizeof(names), "%s", path) >= (int)sizeof(names)) {
		close(at);
		return -ENAMETOOLONG;
	}
	for (char *n = strtok_r(names, "/", &save); n && at >= 0; n = strtok_r(NULL, "/", &save)) {
		int next = step(at, n);

		close(at);
		at = next;
	}
	return at;
}

int within_open(const char *root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	auto_close int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int found = -1;

	if (dir < 0)
		return -errno;
	found = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	if (found < 0 && (errno == ENOSYS || errno == EPERM))
		found = find_by_steps(dir, path);
	else if (found < 0)
		found = -errno;
	return found < 0 ? found : open_regular(found);
}
