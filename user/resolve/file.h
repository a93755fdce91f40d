/* SPDX-License-Identifier: MIT */
/*
 * file: the files of a target's modules, each opened and decoded once however often it is asked
 * for, and one for all that have the same bytes (containers bring copies of everything). L2 resolve.
 *
 * Decoded code takes forty times the room of the file, so that of few files is kept, and what was not
 * used for a while is given up; it is made again when asked for.
 */
#ifndef LMT_RESOLVE_FILE_H
#define LMT_RESOLVE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"
#include "cfi.h"
#include "code.h"
#include "discover/target.h"
#include "elf.h"
#include "identify.h"

struct file {
	uint64_t dev, inode;
	char *open_path;      /* of the process it was first met in; see struct module */
	char root[WITHIN_ROOT]; /* of that process; "": ours */
	char *path;           /* as that process names it */
	struct elf_file *elf; /* NULL: could not be opened, see err; that of `same` if there is one */
	struct file *same;    /* an earlier file with the same bytes: what is read serves both; or NULL */
	struct elf_file *own; /* with `same`: ours, never read, to place probes by */
	struct files *among;  /* NULL: on its own */
	uint64_t turn;        /* when it was used last */
	uint64_t seen_ns;     /* when a process was looked at that has it mapped (CLOCK_MONOTONIC) */
	bool closed;          /* nobody has it any more: all that is known is what was known then */
	bool held;            /* for files_free_closed() */
	struct elf_file *debug; /* the file's separate symbols, of the same build id; NULL: none */
	const char *debug_source; /* "debugdata", "debug-file", "debuglink", "debuginfod" */
	bool debug_tried;
	struct cfi *cfi;      /* NULL: not looked at yet, or it has none */
	bool cfi_tried;
	uint64_t vm;          /* luaV_execute, for find_vm.c */
	bool vm_tried;
	struct code *code;    /* NULL: not decoded yet, or it failed */
	bool code_tried;
	bool vanished;        /* its process did, before it could be opened */
	bool identified;
	struct identity identity;
	struct errmsg err;
};

struct files {
	vec_of(struct file *) files;
	uint64_t turn, rested; /* counts uses; as it was when files_rest() ran last */
};

#define FILES_CODE_BYTES (96u << 20) /* decoded code kept, but always the latest */

void files_deinit(struct files *fs);

/*
 * Gives up what was read of files that were not used since the last call. Code, names and bytes that
 * were borrowed from a file are gone.
 */
void files_rest(struct files *fs);

/* Closes a file; its inode may be another's from now on. Not while another is read by it. */
void files_close(struct files *fs, struct file *f);
/* Frees the closed files that nobody has marked as held, nor is read by. Clears the marks. */
void files_free_closed(struct files *fs);

/* The module's file; NULL only on ENOMEM. Its elf may be NULL. Borrowed. */
struct file *files_get(struct files *fs, const struct module *m);

/* The one by which all with the same bytes are read. */
static inline struct file *file_first(struct file *f)
{
	return f->same ? f->same : f;
}

/* A path that leads to the file whatever becomes of its processes and names. f->elf must be open. */
#define FILE_PATH 32
void file_held_path(const struct file *f, char path[FILE_PATH]);

/* The unwind table, opened when first asked for; NULL: none. Borrowed. */
struct cfi *file_cfi(struct file *f);

/* The decoded functions, made when first asked for; NULL with f->err set. Borrowed. */
const struct code *file_code(struct file *f);

/* What the file says it is, looked up when first asked for. f->elf must be open. Borrowed. */
const struct identity *file_identity(struct file *f);

/* Address in the file of a target address inside the module, and back. */
uint64_t file_vaddr(const struct file *f, const struct module *m, uint64_t uaddr);
uint64_t file_uaddr(const struct file *f, const struct module *m, uint64_t vaddr);

#endif
