/* SPDX-License-Identifier: MIT */
/*
 * The C functions whose pointer arguments are looked at: those of --watch-call, and the usual ones
 * of the C library once a process is seen to call C through the FFI. Compiled FFI calls go straight
 * to them, so this is the only place where they show.
 */
#include "session_find.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

#define ALL_ARGUMENTS 0xf

/* Functions that FFI code hands buffers to, and which of their first four arguments are pointers. */
static const struct {
	const char *name;
	uint8_t args;
} usual[] = {
	{ "snprintf", 0xd },  { "sprintf", 0xf },   { "vsnprintf", 0xd }, { "printf", 0xf },
	{ "fprintf", 0xf },   { "fwrite", 0x1 },    { "fread", 0x1 },     { "fputs", 0x1 },
	{ "puts", 0x1 },      { "fgets", 0x1 },     { "write", 0x2 },     { "read", 0x2 },
	{ "send", 0x2 },      { "recv", 0x2 },      { "sendto", 0x2 },    { "recvfrom", 0x2 },
	{ "pwrite", 0x2 },    { "pread", 0x2 },     { "writev", 0x2 },    { "readv", 0x2 },
	{ "getcwd", 0x1 },    { "strftime", 0x5 },  { "realpath", 0x3 },  { "inet_ntop", 0x6 },
	{ "gethostname", 0x1 }, { "strerror_r", 0x2 }, { "qsort", 0x1 },  { "getaddrinfo", 0x7 },
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* "libc", "libc.so.6" or the path itself. */
static bool is_module(const struct module *m, const char *name, size_t len)
{
	const char *base = base_name(m->path);

	if (strlen(m->path) == len && !strncmp(m->path, name, len))
		return true;
	return !strncmp(base, name, len) && (!base[len] || base[len] == '.' || base[len] == '-');
}

static int watch_function(struct session *s, struct session_target *t, const struct module *m,
			  const char *name, unsigned int args, struct errmsg *err)
{
	struct file *file = files_get(&s->files, m);
	uint64_t vaddr = file && file->elf ? elf_find_sym(file->elf, name, NULL) : 0;
	struct session_watch w;
	struct plan_site site;
	int rc;

	if (!vaddr || !elf_is_code(file->elf, vaddr))
		return errmsg_set(err, -ENOENT, "there is no function '%s' in '%s'", name, m->path);
	rc = plan_extra(file, vaddr, name, LMT_PROBE_C_CALL, args, &s->features, &site, err);
	if (!rc)
		rc = attach_site(s->attach, t->slot, t->target->pid, &site, err);
	if (rc < 0)
		return rc;
	w = (struct session_watch){ .probe = (uint32_t)rc, .name = strpool_add(s->strings, name) };
	return vec_push(&t->watched, w);
}

/* MODULE:FUNCTION of the options. */
int session_watch_call(struct session *s, struct session_target *t, const char *spec,
		       struct errmsg *err)
{
	const char *colon = strrchr(spec, ':');

	vec_each(m, &t->target->modules)
		if (is_module(m, spec, (size_t)(colon - spec)))
			return watch_function(s, t, m, colon + 1, ALL_ARGUMENTS, err);
	return errmsg_set(err, -EINVAL, "--watch-call '%s': process %d has no such module", spec,
			  t->target->pid);
}

bool session_uses_ffi(const struct session_target *t)
{
	vec_each(st, &t->resolved->states) {
		struct lmt_cell c;
		uint64_t ctypes;

		if (!st->layout || st->layout->l.family != LMT_FAMILY_LUAJIT)
			continue;
		c = st->layout->l.G_ctype_state;
		if (layout_has(c) && memread_uint(&t->mem, st->G + (uint64_t)c.off, c.size, &ctypes) &&
		    ctypes)
			return true;
	}
	return false;
}

int session_on_ffi(struct session *s, struct session_target *t)
{
	struct errmsg why;

	attach_check_chunks(s->attach);
	if (t->ffi_seen)
		return 0;
	t->ffi_seen = true;
	vec_each(m, &t->target->modules) {
		if (!is_module(m, "libc", 4) && !is_module(m, "libc.musl", 9))
			continue;
		for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
			if (watch_function(s, t, m, usual[i].name, usual[i].args, &why) < 0)
				log_debug("not watched: %s", why.text);
		return 0;
	}
	return 0;
}
