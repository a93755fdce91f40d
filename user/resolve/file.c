/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void file_free(struct file *f)
{
	if (!f)
		return;
	code_free(f->code);
	cfi_free(f->cfi);
	elf_free(f->debug);
	elf_free(f->elf);
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

/* A process that ends while it is looked at says nothing about its files. */
static void open_elf(struct file *f, const char *path)
{
	int rc = elf_open(path, &f->elf, &f->err);

	if (rc)
		f->elf = NULL;
	f->vanished = rc && access(path, F_OK);
}

struct file *files_get(struct files *fs, const struct module *m)
{
	struct file *f;

	vec_each(known, &fs->files) {
		if ((*known)->dev != m->dev || (*known)->inode != m->inode)
			continue;
		if (!(*known)->elf && (*known)->vanished)
			open_elf(*known, m->open_path);
		return *known;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->dev = m->dev;
	f->inode = m->inode;
	f->open_path = strdup(m->open_path);
	f->path = strdup(m->path);
	if (!f->open_path || !f->path || vec_push(&fs->files, f)) {
		file_free(f);
		return NULL;
	}
	open_elf(f, f->open_path);
	return f;
}

void file_held_path(const struct file *f, char path[FILE_PATH])
{
	snprintf(path, FILE_PATH, "/proc/self/fd/%d", elf_fd(f->elf));
}

struct cfi *file_cfi(struct file *f)
{
	if (!f->cfi_tried && f->elf)
		f->cfi = cfi_new(f->elf);
	f->cfi_tried |= f->elf != NULL;
	return f->cfi;
}

const struct code *file_code(struct file *f)
{
	if (!f->code_tried && f->elf) {
		f->code_tried = true;
		if (code_new(f->elf, &f->code, &f->err))
			f->code = NULL;
	}
	return f->code;
}

const struct identity *file_identity(struct file *f)
{
	if (!f->identified)
		identify_file(f->elf, &f->identity);
	f->identified = true;
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
