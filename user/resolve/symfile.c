/* SPDX-License-Identifier: MIT */
#include "symfile.h"

#include <errno.h>
#include <limits.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elf_handle.h"

#define MAX_UNPACKED (256u << 20)
#define LZMA_MEMORY (256u << 20)
#define DEBUG_ROOT "/usr/lib/debug"
#define DEBUGINFOD_SECONDS "10"

static bool network;

void symfile_allow_network(bool yes)
{
	network = yes;
}

/* Takes the candidate, opened or not, if it is of the same build. */
static bool try_file(struct file *f, int fd, const char *path, const char *source)
{
	struct elf_file *elf;
	struct errmsg ignored;

	if (elf_open_fd(fd, path, &elf, &ignored))
		return false;
	if (!*elf_build_id(elf) || strcmp(elf_build_id(elf), elf_build_id(f->elf))) {
		elf_free(elf);
		return false;
	}
	f->debug = elf;
	f->debug_source = source;
	return true;
}

/*
 * Names that the file gives are looked up where its process would: it must not have us open a file
 * that it cannot see.
 */
static bool try_within(struct file *f, const char *path, const char *source)
{
	return try_file(f, within_open(*f->root ? f->root : "/", path), path, source);
}

static Elf_Data *section(struct file *f, const char *name)
{
	Elf *elf = elf_handle(f->elf);
	Elf_Scn *scn = NULL;
	size_t strings;

	if (elf_getshdrstrndx(elf, &strings))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		Elf64_Shdr *sh = elf64_getshdr(scn);
		const char *got = sh ? elf_strptr(elf, strings, sh->sh_name) : NULL;

		if (got && !strcmp(got, name) && sh->sh_type != SHT_NOBITS)
			return elf_rawdata(scn, NULL);
	}
	return NULL;
}

/* Unpacks into memory that has a name, since files are opened by theirs. */
static int unpack(const Elf_Data *d)
{
	uint64_t limit = LZMA_MEMORY;
	size_t in = 0, out = 0, size = 64 * d->d_size + 4096;
	int fd = memfd_create("debugdata", MFD_CLOEXEC);
	uint8_t *buf;

	if (size > MAX_UNPACKED)
		size = MAX_UNPACKED;
	buf = malloc(size);
	if (fd < 0 || !buf ||
	    lzma_stream_buffer_decode(&limit, 0, NULL, d->d_buf, &in, d->d_size, buf, &out, size) !=
		    LZMA_OK ||
	    write(fd, buf, out) != (ssize_t)out) {
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	free(buf);
	return fd;
}

/*
 * .gnu_debugdata is an ELF file with nothing but symbols, and without a build id of its own: it
 * is inside the very file it speaks of.
 */
static bool try_debugdata(struct file *f)
{
	Elf_Data *d = section(f, ".gnu_debugdata");
	struct errmsg ignored;
	char path[64];
	int fd;

	if (!d || !d->d_size || (fd = unpack(d)) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (elf_open(path, &f->debug, &ignored))
		f->debug = NULL;
	close(fd);
	f->debug_source = "debugdata";
	return f->debug != NULL;
}

static bool try_build_id(struct file *f)
{
	const char *id = elf_build_id(f->elf);
	char path[PATH_MAX];

	if (strlen(id) < 4)
		return false;
	snprintf(path, sizeof(path), DEBUG_ROOT "/.build-id/%.2s/%s.debug", id, id + 2);
	return try_within(f, path, "debug-file");
}

/* The link names a file: next to this one, in .debug/ there, or under the debug root. */
static bool try_debuglink(struct file *f)
{
	static const char *const forms[] = { "%.*s/%s", "%.*s/.debug/%s", DEBUG_ROOT "%.*s/%s" };
	Elf_Data *d = section(f, ".gnu_debuglink");
	const char *path = within_name(f->root, f->path);
	const char *slash = strrchr(path, '/'), *name = d ? d->d_buf : NULL;

	if (!name || !slash || !memchr(name, 0, d->d_size) || strchr(name, '/') || !*name)
		return false;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		char candidate[PATH_MAX];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(candidate, sizeof(candidate), forms[i], (int)(slash - path), path, name);
#pragma GCC diagnostic pop
		if (try_within(f, candidate, "debuglink"))
			return true;
	}
	return false;
}

/* debuginfod-find prints the path in its cache; it gives up by itself after the time-out. */
static bool try_debuginfod(struct file *f)
{
	const char *id = elf_build_id(f->elf);
	char path[PATH_MAX] = "";
	FILE *out;
	int fds[2], status;
	pid_t pid;

	if (!network || !*id || pipe(fds))
		return false;
	pid = fork();
	if (!pid) {
		setenv("DEBUGINFOD_TIMEOUT", DEBUGINFOD_SECONDS, 1);
		setenv("DEBUGINFOD_MAXTIME", DEBUGINFOD_SECONDS, 1);
		dup2(fds[1], STDOUT_FILENO);
		execlp("debuginfod-find", "debuginfod-find", "debuginfo", id, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	out = fdopen(fds[0], "r");
	if (out && fgets(path, sizeof(path), out))
		path[strcspn(path, "\n")] = '\0';
	if (out)
		fclose(out);
	else
		close(fds[0]);
	if (pid > 0)
		waitpid(pid, &status, 0);
	return *path == '/' && try_file(f, within_open_own(path), path, "debuginfod");
}

struct elf_file *symfile_get(struct file *f)
{
	f = file_first(f);
	if (f->debug_tried || !f->elf)
		return f->debug;
	f->debug_tried = true;
	if (!try_debugdata(f) && !try_build_id(f) && !try_debuglink(f))
		try_debuginfod(f);
	return f->debug;
}
