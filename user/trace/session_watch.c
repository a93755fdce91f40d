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
#include "resolve/code.h"

#define ALL_ARGUMENTS 0xf
#define ADDRESSES 8 /* of one name, at most */

/*
 * Functions that FFI code hands buffers to, and which of their first four arguments are pointers.
 * Not what follows a format: in a call without it the register holds whatever was there before.
 */
struct pointers {
	const char *name;
	uint8_t args;
};
static const struct pointers usual[] = {
	{ "snprintf", 0x5 },  { "sprintf", 0x3 },   { "vsnprintf", 0xd }, { "printf", 0x1 },
	{ "fprintf", 0x3 },   { "fwrite", 0x1 },    { "fread", 0x1 },     { "fputs", 0x1 },
	{ "puts", 0x1 },      { "fgets", 0x1 },     { "write", 0x2 },     { "read", 0x2 },
	{ "send", 0x2 },      { "recv", 0x2 },      { "sendto", 0x2 },    { "recvfrom", 0x2 },
	{ "pwrite", 0x2 },    { "pread", 0x2 },     { "writev", 0x2 },    { "readv", 0x2 },
	{ "getcwd", 0x1 },    { "strftime", 0x5 },  { "realpath", 0x3 },  { "inet_ntop", 0x6 },
	{ "gethostname", 0x1 }, { "strerror_r", 0x2 }, { "qsort", 0x1 },  { "getaddrinfo", 0x7 },
};

/* Others that --watch-call may name; called too often to be watched unasked. */
static const struct pointers known[] = {
	{ "memcpy", 0x3 },    { "memmove", 0x3 },   { "memset", 0x1 },    { "memcmp", 0x3 },
	{ "memchr", 0x1 },    { "strlen", 0x1 },    { "strnlen", 0x1 },   { "strcpy", 0x3 },
	{ "strncpy", 0x3 },   { "strcat", 0x3 },    { "strcmp", 0x3 },    { "strncmp", 0x3 },
	{ "strchr", 0x1 },    { "strstr", 0x3 },    { "strdup", 0x1 },    { "strtol", 0x3 },
};

/* Which arguments may be pointers; 0: not known, ask the code which it reads. */
static unsigned int pointers_of(const char *name)
{
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (!strcmp(usual[i].name, name))
			return usual[i].args;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i].name, name))
			return known[i].args;
	return 0;
}

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

bool session_passes_pointer(struct session *s, struct session_target *t, uint64_t function,
			    unsigned int argument)
{
	const struct module *m = target_module_at(t->target, function);
	struct file *file = m ? files_get(&s->files, m) : NULL;
	unsigned int args = ALL_ARGUMENTS;
	const char *name;

	if (file && file->elf) {
		name = elf_name_at(file->elf, file_vaddr(file, m, function));
		args = name ? pointers_of(name) : 0;
		if (!args)
			args = code_args_read(file->elf, file_vaddr(file, m, function));
	}
	return argument < 4 ? args >> argument & 1 : args == ALL_ARGUMENTS;
}

static void add_address(uint64_t vaddr, uint64_t *ret, size_t *n)
{
	size_t i = 0;

	while (i < *n && ret[i] != vaddr)
		i++;
	if (i == *n && *n < ADDRESSES)
		ret[(*n)++] = vaddr;
}

/*
 * What goes by that name. memcpy() and its like have several forms, one of which is chosen for the
 * machine: it is the one that other modules were given when they were loaded.
 */
static size_t find_addresses(struct session *s, struct session_target *t, struct file *file,
			     const char *name, uint64_t *ret)
{
	uint64_t vaddr = elf_find_sym(file->elf, name, NULL), slots[ADDRESSES], value;
	size_t n = 0;

	if (vaddr && elf_is_code(file->elf, vaddr) && !elf_is_chooser(file->elf, vaddr))
		add_address(vaddr, ret, &n);
	if (!vaddr)
		return 0;
	vec_each(m, &t->target->modules) {
		struct file *user = files_get(&s->files, m);
		size_t n_slots = user && user->elf && user != file
			? elf_import_slots(user->elf, name, slots, ADDRESSES) : 0;

		for (size_t i = 0; i < n_slots; i++) {
			const struct module *in;

			if (!memread_uint(&t->mem, file_uaddr(user, m, slots[i]), 8, &value))
				continue;
			in = target_module_at(t->target, value);
			if (in && files_get(&s->files, in) == file)
				add_address(file_vaddr(file, in, value), ret, &n);
		}
	}
	return n;
}

/* What is to be watched. */
struct watch_list {
	struct plan plan;
	vec_of(uint32_t) names; /* of its sites: string ids */
};

static void watch_list_deinit(struct watch_list *w)
{
	vec_deinit(&w->plan.sites);
	vec_deinit(&w->names);
}

static int gather_address(struct session *s, struct file *file, uint64_t vaddr, const char *name,
			  unsigned int args, struct watch_list *w, struct errmsg *err)
{
	struct plan_site site;
	int rc;

	if (!args)
		args = code_args_read(file->elf, vaddr);
	if (!args)
		return errmsg_set(err, -ENOENT, "'%s' in '%s' takes no argument", name, file->path);
	rc = plan_extra(file, vaddr, name, LMT_PROBE_C_CALL, args, &s->features, &site, err);
	if (rc)
		return rc;
	return vec_push(&w->plan.sites, site) ||
			       vec_push(&w->names, strpool_add(s->names.strings, name))
		       ? errmsg_set(err, -ENOMEM, "out of memory")
		       : 0;
}

static int gather_function(struct session *s, struct session_target *t, const struct module *m,
			   const char *name, unsigned int args, struct watch_list *w,
			   struct errmsg *err)
{
	struct file *file = files_get(&s->files, m);
	uint64_t vaddr[ADDRESSES];
	size_t n = file && file->elf ? find_addresses(s, t, file, name, vaddr) : 0;
	int rc = 0;

	if (!n)
		return errmsg_set(err, -ENOENT, "there is no function '%s' in '%s'", name, m->path);
	for (size_t i = 0; !rc && i < n; i++)
		rc = gather_address(s, file, vaddr[i], name, args, w, err);
	return rc;
}

/*
 * All with one link: each link takes the kernel some 50 ms to take off. What one refuses goes by
 * itself.
 */
static int watch(struct session *s, struct session_target *t, struct watch_list *w,
		 struct errmsg *err)
{
	int rc = attach_plan(s->attach, t->slot, t->target->pid, &w->plan, err), worst = 0;

	if (rc)
		log_debug("one by one: %s", err->text);
	for (size_t i = 0; i < w->names.n; i++) {
		rc = attach_site(s->attach, t->slot, t->target->pid, &w->plan.sites.v[i], err);
		if (rc >= 0)
			rc = vec_push(&t->watched, (struct session_watch){ .probe = (uint32_t)rc,
									   .name = w->names.v[i] });
		worst = rc < 0 ? rc : worst;
	}
	return worst;
}

/* MODULE:FUNCTION of the options. */
int session_watch_call(struct session *s, struct session_target *t, const char *spec,
		       struct errmsg *err)
{
	const char *colon = strrchr(spec, ':');
	struct watch_list w = { 0 };

	vec_each(m, &t->target->modules) {
		int rc;

		if (!is_module(m, spec, (size_t)(colon - spec)))
			continue;
		rc = gather_function(s, t, m, colon + 1, pointers_of(colon + 1), &w, err);
		if (!rc)
			rc = watch(s, t, &w, err);
		watch_list_deinit(&w);
		return rc;
	}
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
		if (layout_has(c) &&
		    memread_uint(&t->mem, st->G + (uint64_t)c.off, c.size, &ctypes) && ctypes)
			return true;
	}
	return false;
}

void session_on_ffi(struct session *s, struct session_target *t)
{
	struct watch_list w = { 0 };
	struct errmsg why;

	attach_check_chunks(s->attach);
	if (t->ffi_seen)
		return;
	t->ffi_seen = true;
	vec_each(m, &t->target->modules) {
		if (!is_module(m, "libc", 4) && !is_module(m, "libc.musl", 9))
			continue;
		for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
			if (gather_function(s, t, m, usual[i].name, usual[i].args, &w, &why) < 0)
				log_debug("not watched: %s", why.text);
		if (watch(s, t, &w, &why))
			log_debug("not all are watched: %s", why.text);
		watch_list_deinit(&w);
		return;
	}
}
