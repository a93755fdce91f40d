/* SPDX-License-Identifier: MIT */
#include "runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choose.h"
#include "functions.h"
#include "owner.h"
#include "known_bug.h"

void resolved_free(struct resolved *r)
{
	if (!r)
		return;
	vec_each(rt, &r->runtimes)
		free(rt->module);
	vec_each(a, &r->allocators) {
		free(a->module);
		free(a->symbol);
	}
	vec_deinit(&r->runtimes);
	vec_deinit(&r->allocators);
	vec_deinit(&r->states);
	hashmap_deinit(&r->state_by_L);
	hashmap_deinit(&r->states_of_ud);
	free(r);
}

const struct runtime *resolved_runtime(const struct resolved *r, uint32_t id)
{
	return id && id <= r->runtimes.n ? &r->runtimes.v[id - 1] : NULL;
}

void runtime_title(const struct runtime *rt, char *buf, size_t size)
{
	bool lj = rt->family == LMT_FAMILY_LUAJIT;
	const char *mode = "";

	if (lj && rt->layout)
		mode = rt->layout->l.gc64.off ? " GC64" : " GC32";
	snprintf(buf, size, "%s%s%s%s", lj ? "LuaJIT" : "Lua", *rt->version ? " " : "", rt->version,
		 mode);
}

static struct runtime *runtime_of(struct resolved *r, const struct module *m)
{
	vec_each(rt, &r->runtimes)
		if (rt->start == m->start)
			return rt;
	return NULL;
}

/* Makes the runtime of a module; NULL on ENOMEM or when the file cannot be opened. */
static struct runtime *add_runtime(struct resolved *r, const struct module *m,
				   const struct identity *id)
{
	struct file *file = files_get(r->files, m);
	struct runtime rt = {
		.id = (uint32_t)r->runtimes.n + 1,
		.family = id->family,
		.variant = id->family == LMT_FAMILY_LUAJIT ? "luajit" : "puc",
		.file = file,
		.module = strdup(m->path),
		.start = m->start,
	};

	if (!file || !file->elf || !rt.module || vec_push(&r->runtimes, rt)) {
		free(rt.module);
		return NULL;
	}
	snprintf(rt.version, sizeof(rt.version), "%s", id->version);
	memcpy(r->runtimes.v[r->runtimes.n - 1].version, rt.version, sizeof(rt.version));
	rt.bias = elf_bias(file->elf, m->start, m->start_offset);
	r->runtimes.v[r->runtimes.n - 1].bias = rt.bias;
	return &r->runtimes.v[r->runtimes.n - 1];
}

static void add_evidence(struct runtime *rt, const char *text)
{
	size_t n = strlen(rt->evidence);

	if (!strstr(rt->evidence, text))
		snprintf(rt->evidence + n, sizeof(rt->evidence) - n, "%s%s", n ? "; " : "", text);
}

/* One file may hold two Luas: its functions are those of one, the layouts are each state's own. */
static void note_layout(struct runtime *rt, const struct layout *layout)
{
	char text[96];

	if (!layout || !rt->layout || layout == rt->layout)
		return;
	snprintf(text, sizeof(text), "states of another layout too: %s", layout->id);
	add_evidence(rt, text);
}

/* Identifies the module and makes its runtime; NULL when it holds no Lua. */
static struct runtime *identify(struct resolved *r, const struct module *m, unsigned int force_family)
{
	struct runtime *rt = runtime_of(r, m);
	struct file *file;
	struct identity id;

	if (rt)
		return rt;
	file = files_get(r->files, m);
	if (!file || !file->elf)
		return NULL;
	id = *file_identity(file);
	if (!id.holds_lua && !force_family)
		return NULL;
	if (!id.holds_lua)
		id = (struct identity){ .family = force_family, .evidence = "its states are live" };
	rt = add_runtime(r, m, &id);
	if (rt) {
		add_evidence(rt, id.evidence);
		rt->state_block = functions_find(rt->file, rt->family, id.number, rt->fn);
		rt->bug = known_bug_of(rt->family, rt->version, file_code(rt->file), rt->fn, 0,
				       &rt->bug_certain);
	}
	return rt;
}

int resolve_add_allocator(struct resolved *r, const struct target *t, uint64_t uaddr,
			  uint32_t runtime, const struct layout *layout)
{
	const struct module *m = target_module_at(t, uaddr);
	const struct runtime *rt = resolved_runtime(r, runtime);
	struct allocator a = { .uaddr = uaddr, .runtime = runtime, .layout = layout };
	const char *name;

	for (size_t i = 0; i < r->allocators.n; i++)
		if (r->allocators.v[i].uaddr == uaddr)
			return (int)i;
	if (m) {
		a.file = files_get(r->files, m);
		if (a.file && !a.file->elf)
			a.file = NULL;
	}
	a.module = strdup(m ? m->path : "");
	if (!a.module)
		return -ENOMEM;
	if (a.file) {
		a.vaddr = file_vaddr(a.file, m, uaddr);
		name = elf_name_at(a.file->elf, a.vaddr);
		a.name = a.symbol = name ? strdup(name) : NULL;
	}
	for (int id = 0; rt && a.file == rt->file && id < FUNC_MAX; id++) {
		if ((id == FUNC_LJ_ALLOC_F || id == FUNC_L_ALLOC) && rt->fn[id].vaddr == a.vaddr) {
			a.built_in = true;
			a.name = func_name((enum func_id)id);
		}
	}
	if (vec_push(&r->allocators, a)) {
		free(a.module);
		free(a.symbol);
		return -ENOMEM;
	}
	return (int)r->allocators.n - 1;
}

/* The state's runtime: by pointers into a copy, else by its allocator, else the only copy. */
static struct runtime *place_state(struct resolved *r, const struct target *t,
				   const struct memread *mem, const struct lua_state *st,
				   uint64_t alloc)
{
	const char *evidence = NULL;
	const struct module *m = owner_of_state(t, mem, st, &evidence);
	unsigned int family = st->layout->l.family, same = 0;
	struct runtime *rt = NULL;

	if (m && (rt = identify(r, m, family))) {
		add_evidence(rt, evidence);
		return rt;
	}
	m = target_module_at(t, alloc);
	if (m && (rt = identify(r, m, 0)) && rt->family == family) {
		add_evidence(rt, "its allocator");
		return rt;
	}
	vec_each(other, &r->runtimes) {
		if (other->family != family)
			continue;
		rt = other;
		same++;
	}
	return same == 1 ? rt : NULL;
}

struct resolved_state *resolved_state_at(const struct resolved *r, uint64_t L)
{
	const uint64_t *at = L ? hashmap_lookup(&r->state_by_L, L) : NULL;

	return at && *at ? &r->states.v[*at - 1] : NULL;
}

void resolved_drop_state(struct resolved *r, uint64_t L)
{
	struct resolved_state *rs = resolved_state_at(r, L);
	uint64_t *same = rs && rs->gc.ud ? hashmap_lookup(&r->states_of_ud, rs->gc.ud) : NULL;

	if (!rs)
		return;
	if (same && *same)
		--*same;
	*rs = r->states.v[--r->states.n];
	*hashmap_lookup(&r->state_by_L, rs->L) = (uint64_t)(rs - r->states.v) + 1;
	*hashmap_lookup(&r->state_by_L, L) = 0;
}

bool resolved_ud_is_own(const struct resolved *r, const struct resolved_state *rs)
{
	const uint64_t *same = rs->gc.ud ? hashmap_lookup(&r->states_of_ud, rs->gc.ud) : NULL;

	return same && *same == 1;
}

int resolved_keep_state(struct resolved *r, const struct resolved_state *rs)
{
	uint64_t *at = hashmap_get_or_add(&r->state_by_L, rs->L);
	uint64_t *same = rs->gc.ud ? hashmap_get_or_add(&r->states_of_ud, rs->gc.ud) : NULL;

	if (!at || (rs->gc.ud && !same) || vec_push(&r->states, *rs))
		return -ENOMEM;
	if (same)
		++*same;
	*at = r->states.n;
	return (int)r->states.n - 1;
}

/* A state whose memory was looked at already. */
static int add_found(struct resolved *r, const struct target *t, const struct memread *mem,
		     const struct lua_state *st)
{
	struct resolved_state out = { .L = st->L, .G = st->G }, *there = resolved_state_at(r, st->L);
	struct runtime *rt;
	const char *why;
	int a;

	if (there && there->G == st->G)
		return (int)(there - r->states.v);
	if (!states_read_gc(mem, &st->layout->l, st->G, &out.gc))
		return -ENOENT;
	resolved_drop_state(r, st->L); /* one of another shape was there before */
	rt = place_state(r, t, mem, st, out.gc.alloc);
	out.layout = choose_layout(st->rows, st->n_rows, rt ? rt->version : "", NULL, &why);
	if (!out.layout && rt) /* dear, if the code was given up meanwhile */
		out.layout = choose_layout(st->rows, st->n_rows, rt->version, file_code(rt->file), &why);
	if (rt) {
		out.runtime = rt->id;
		add_evidence(rt, why);
		if (out.layout && !rt->layout) {
			rt->layout = out.layout;
			rt->variant = out.layout->variant;
		}
		note_layout(rt, out.layout);
	}
	a = resolve_add_allocator(r, t, out.gc.alloc, out.runtime, out.layout);
	if (a < 0)
		return a;
	out.allocator = (uint32_t)a;
	return resolved_keep_state(r, &out);
}

int resolve_add_state(struct resolved *r, const struct target *t, const struct memread *mem,
		      uint64_t L, uint64_t G)
{
	const struct resolved_state *there = resolved_state_at(r, L);
	struct lua_state st;

	if (there && there->G == G)
		return (int)(there - r->states.v);
	return states_check(&t->maps, mem, L, G, &st) ? add_found(r, t, mem, &st) : -ENOENT;
}

/* A copy without states: the allocator its first state will use, and what it may look like. */
static int prepare_stateless(struct resolved *r, const struct target *t, struct runtime *rt)
{
	bool lj = rt->family == LMT_FAMILY_LUAJIT;
	uint64_t vaddr = rt->fn[lj ? FUNC_LJ_ALLOC_F : FUNC_L_ALLOC].vaddr;
	int rc;

	vec_each(s, &r->states)
		if (s->runtime == rt->id)
			return 0;
	rt->layout = choose_by_file(rt->family, rt->version, rt->state_block, file_code(rt->file));
	if (!vaddr)
		return 0;
	rc = resolve_add_allocator(r, t, vaddr + rt->bias, rt->id, rt->layout);
	return rc < 0 ? rc : 0;
}

int resolve_modules(struct resolved *r, const struct target *t, const struct memread *mem)
{
	struct states found = { 0 };
	int rc;

	vec_each(m, &t->modules)
		identify(r, m, 0);
	rc = states_scan(t, mem, &found);
	for (size_t i = 0; !rc && i < found.states.n; i++) {
		rc = add_found(r, t, mem, &found.states.v[i]);
		rc = rc == -ENOMEM ? rc : 0;
	}
	r->scanned_bytes = found.scanned_bytes;
	states_deinit(&found);
	for (size_t i = 0; !rc && i < r->runtimes.n; i++)
		rc = prepare_stateless(r, t, &r->runtimes.v[i]);
	return rc;
}

int resolve_process(const struct target *t, const struct memread *mem, struct files *files,
		    struct resolved **ret, struct errmsg *err)
{
	struct resolved *r = calloc(1, sizeof(*r));

	if (!r)
		return errmsg_set(err, -ENOMEM, "out of memory");
	r->pid = t->pid;
	r->files = files;
	if (resolve_modules(r, t, mem)) {
		resolved_free(r);
		return errmsg_set(err, -ENOMEM, "out of memory");
	}
	*ret = r;
	return 0;
}

bool resolve_has_lua(const struct target *t, struct files *files)
{
	vec_each(m, &t->modules) {
		struct file *file = files_get(files, m);

		if (file && file->elf && file_identity(file)->holds_lua)
			return true;
	}
	return false;
}
