/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static void file_free(struct file *f)
{
	if (!f)
		return;
	code_free(f->code);
	cfi_free(f->cfi);
	elf_free(f->debug);
	elf_free(f->same ? f->own : f->elf);
	free(f->open_path);
	free(f->path);
	free(f);
}

void files_deinit(struct files *fs)
{
	vec_each(f, &fs->files)
		file_free(*f);
	vec_deinit(&fs->files);
}

/* Symbols and the like of it are in use: f is the first of its kind. */
static void note_use(struct file *f)
{
	if (f->among)
		f->turn = ++f->among->turn;
}

static void rest(struct file *f)
{
	code_free(f->code);
	cfi_free(f->cfi);
	f->code = NULL;
	f->cfi = NULL;
	f->code_tried = f->cfi_tried = false;
	elf_rest(f->debug);
	elf_rest(f->elf);
}

void files_rest(struct files *fs)
{
	bool any = false;

	vec_each(f, &fs->files) {
		if ((*f)->same || (*f)->turn > fs->rested)
			continue;
		any |= (*f)->code || (*f)->cfi;
		rest(*f);
	}
	fs->rested = fs->turn;
	if (any)
		malloc_trim(0);
}

void files_close(struct files *fs, struct file *f)
{
	if (f->closed)
		return;
	vec_each(other, &fs->files)
		if ((*other)->same == f && !(*other)->closed)
			return;
	f->closed = true;
	if (f->same) {
		elf_close(f->own);
		return;
	}
	rest(f);
	elf_close(f->debug);
	elf_close(f->elf);
}

void files_free_closed(struct files *fs)
{
	size_t n = 0;

	vec_each(f, &fs->files)
		if ((*f)->same && (!(*f)->closed || (*f)->held))
			(*f)->same->held = true;
	for (size_t i = 0; i < fs->files.n; i++) {
		struct file *f = fs->files.v[i];

		if (f->closed && !f->held) {
			file_free(f);
			continue;
		}
		f->held = false;
		fs->files.v[n++] = f;
	}
	fs->files.n = n;
}

/* Of the files whose code is there, but for `f`, the one that was not used for longest; or NULL. */
static struct file *oldest_but(const struct file *f, uint64_t *bytes)
{
	struct file *oldest = NULL;

	*bytes = 0;
	vec_each(other, &f->among->files) {
		*bytes += (*other)->code ? code_bytes((*other)->code) : 0;
		if (*other != f && (*other)->code && (!oldest || (*other)->turn < oldest->turn))
			oldest = *other;
	}
	return oldest;
}

static void make_room(const struct file *f)
{
	struct file *oldest;
	uint64_t bytes;

	while ((oldest = oldest_but(f, &bytes)) && bytes > FILES_CODE_BYTES)
		rest(oldest);
}

/* Is there one with the same bytes? */
static void share(struct files *fs, struct file *f)
{
	vec_each(other, &fs->files) {
		if (*other == f || (*other)->same || (*other)->closed || !(*other)->elf ||
		    !elf_same_bytes((*other)->elf, f->elf))
			continue;
		f->same = *other;
		f->own = f->elf;
		f->elf = f->same->elf;
		elf_rest(f->own);
		return;
	}
}

static int open_within(const struct module *m)
{
	return within_open(m->root, within_name(m->root, m->path));
}

/*
 * A process that ends while it is looked at says nothing about its files. A file that is named when
 * it cannot be opened is named as the process does.
 */
static void open_elf(struct files *fs, struct file *f, const struct module *m)
{
	bool by_map = *m->open_path;
	int fd = by_map ? within_open_own(m->open_path) : open_within(m);
	int rc = elf_open_fd(fd, by_map ? m->open_path : m->path, &f->elf, &f->err);

	if (rc)
		f->elf = NULL;
	else
		share(fs, f);
	f->vanished = rc && access(by_map ? m->open_path : m->root, F_OK);
}

struct file *files_get(struct files *fs, const struct module *m)
{
	struct file *f;

	vec_each(known, &fs->files) {
		if ((*known)->dev != m->dev || (*known)->inode != m->inode || (*known)->closed)
			continue;
		(*known)->seen_ns = file_first(*known)->seen_ns = clock_ns(CLOCK_MONOTONIC);
		if (!(*known)->elf && (*known)->vanished)
			open_elf(fs, *known, m);
		return *known;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->among = fs;
	f->seen_ns = clock_ns(CLOCK_MONOTONIC);
	f->dev = m->dev;
	f->inode = m->inode;
	f->open_path = strdup(m->open_path);
	f->path = strdup(m->path);
	memcpy(f->root, m->root, sizeof(f->root));
	if (!f->open_path || !f->path || vec_push(&fs->files, f)) {
		file_free(f);
		return NULL;
	}
	open_elf(fs, f, m);
	return f;
}

void file_held_path(const struct file *f, char path[FILE_PATH])
{
	snprintf(path, FILE_PATH, "/proc/self/fd/%d", elf_fd(f->same ? f->own : f->elf));
}

struct cfi *file_cfi(struct file *f)
{
	f = file_first(f);
	note_use(f);
	if (!f->cfi_tried && f->elf)
		f->cfi = cfi_new(f->elf);
	f->cfi_tried |= f->elf != NULL;
	return f->cfi;
}

const struct code *file_code(struct file *copy)
{
	struct file *f = file_first(copy);

	note_use(f);
	if (!f->code_tried && f->elf) {
		f->code_tried = true;
		if (code_new(f->elf, &f->code, &f->err))
			f->code = NULL;
		else if (f->among)
			make_room(f);
	}
	if (!f->code && copy != f)
		copy->err = f->err;
	return f->code;
}

const struct identity *file_identity(struct file *f)
{
	f = file_first(f);
	if (f->identified)
		return &f->identity;
	identify_file(f->elf, &f->identity);
	f->identified = true;
	if (!f->identity.holds_lua && f->among)
		rest(f); /* most are like that, and it was read whole */
	return &f->identity;
}

uint64_t file_vaddr(const struct file *f, const struct module *m, uint64_t uaddr)
{
	return uaddr - elf_bias(f->elf, m->start, m->start_offset);
}

uint64_t file_uaddr(const struct file *f, const struct module *m, uint64_t vaddr)
{
	return vaddr + elf_bias(f->elf, m->start, m->start_offset);
}
