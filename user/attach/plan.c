/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nonlocal_exit.h"
#include "resolve/alloc_calls.h"
#include "resolve/cfi.h"

void plan_free(struct plan *p)
{
	if (!p)
		return;
	vec_each(s, &p->blind_spots)
		free(*s);
	vec_deinit(&p->blind_spots);
	vec_deinit(&p->functions);
	vec_deinit(&p->callsites);
	vec_deinit(&p->unwind);
	vec_deinit(&p->sites);
	free(p);
}

int plan_add_blind_spot(struct plan *p, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	if (vec_push(&p->blind_spots, text)) {
		free(text);
		return -ENOMEM;
	}
	return 0;
}

/*
 * What is wanted of each function: which arguments, and whether a return probe goes with it. One
 * row for each function; those without a probe kind are placed for doctor only.
 */
static const struct want {
	unsigned int args, needed;
	bool wants_return;
	uint8_t probe; /* LMT_PROBE_…, 0: not attached */
	const char *why_not;
} wants[FUNC_MAX] = {
	[FUNC_LUA_NEWSTATE] = { 2, 1, false, LMT_PROBE_NEWSTATE, NULL },
	[FUNC_LUA_CLOSE] = { 1, 1, false, LMT_PROBE_CLOSE, NULL },
	[FUNC_LUA_GETALLOCF] = { 2, 1, false, 0, "only its callers are of interest" },
	[FUNC_LUA_GC] = { 3, 3, false, LMT_PROBE_FULL_GC, NULL },
	[FUNC_LJ_ALLOC_F] = { 4, 0xe, true, LMT_PROBE_ANY, NULL },
	[FUNC_LJ_ALLOC_MALLOC] = { 2, 2, false, 0, "its caller lj_alloc_f is probed" },
	[FUNC_LJ_ALLOC_REALLOC] = { 3, 6, false, 0, "its caller lj_alloc_f is probed" },
	[FUNC_LJ_ALLOC_FREE] = { 2, 2, false, 0, "its caller lj_alloc_f is probed" },
	[FUNC_LJ_TRACE_EXIT] = { 2, 1, false, 0, "no detector needs it in this mode" },
	[FUNC_LJ_CCALL_FUNC] = { 2, 2, false, 0, "no detector needs it in this mode" },
	[FUNC_LJ_GC_STEP] = { 1, 1, false, 0, "no detector needs it in this mode" },
	[FUNC_GC_ONESTEP] = { 1, 1, false, 0, "no detector needs it in this mode" },
	[FUNC_GC_SWEEP] = { 3, 1, false, 0, "no detector needs it in this mode" },
	[FUNC_LJ_ERR_MEM] = { 1, 1, false, LMT_PROBE_ERR_MEM, NULL },
	[FUNC_LJ_VM_FFI_CALL] = { 1, 1, false, LMT_PROBE_FFI_CALL, NULL },
	[FUNC_LJ_GC_STEP_JIT] = { 2, 1, false, 0, "no detector needs it in this mode" },
	[FUNC_LJ_GC_FULLGC] = { 1, 1, false, LMT_PROBE_FULL_GC, NULL },
	[FUNC_LJ_MEM_REALLOC] = { 4, 0xf, false, 0, "the allocator behind it is probed" },
	[FUNC_LJ_MEM_NEWGCO] = { 2, 3, false, 0, "the allocator behind it is probed" },
	[FUNC_LJ_CDATA_FREE] = { 2, 3, false, 0, "no detector needs it in this mode" },
	[FUNC_L_ALLOC] = { 4, 0xe, true, LMT_PROBE_ANY, NULL },
	[FUNC_LUAM_REALLOC] = { 4, 0xf, false, 0, "the allocator behind it is probed" },
	[FUNC_LUAM_MALLOC] = { 3, 7, false, 0, "the allocator behind it is probed" },
	[FUNC_LUAM_FREE] = { 3, 7, false, 0, "the allocator behind it is probed" },
	[FUNC_LUAC_STEP] = { 1, 1, false, 0, "no detector needs it in this mode" },
	[FUNC_LUAC_FULLGC] = { 2, 1, false, LMT_PROBE_FULL_GC, NULL },
	[FUNC_LUAD_THROW] = { 2, 3, false, LMT_PROBE_THROW, NULL },
	[FUNC_LUAM_GROWAUX] = { 6, 1, false, 0, "the allocator behind it is probed" },
	[FUNC_LUAM_SHRINKVECTOR] = { 5, 1, false, 0, "the allocator behind it is probed" },
	[FUNC_SINGLESTEP] = { 1, 1, false, 0, "no detector needs it in this mode" },
	[FUNC_SWEEPLIST] = { 3, 1, false, 0, "no detector needs it in this mode" },
	[FUNC_DUMMYNODE] = { 0, 0, false, 0, "data" },
	[FUNC_CLOSE_STATE] = { 1, 1, false, LMT_PROBE_CLOSE, NULL },
};

static struct place_want want_of(enum func_id id, const struct features *k)
{
	return (struct place_want){
		.args = wants[id].args,
		.needed = wants[id].needed,
		.wants_return = wants[id].wants_return,
		.emulates = k->emulates,
	};
}

static void set_probe(struct plan_site *s, uint8_t kind, uint8_t flags)
{
	s->probe = (struct lmt_probe){
		.kind = kind,
		.flags = flags,
		.reg_ud = s->place.reg[0],
		.reg_ptr = s->place.reg[1],
		.reg_osize = s->place.reg[2],
		.reg_nsize = s->place.reg[3],
		.pushed = (uint8_t)s->place.pushed,
	};
	if (s->place.reg[0] == LMT_REG_LOST)
		s->probe.flags &= (uint8_t)~LMT_PROBE_UD_IS_STATE; /* it may be, but who can read it */
	if (kind == LMT_PROBE_ANY && s->place.reg[1] == REG_SI && s->place.reg[2] == REG_DX &&
	    s->place.reg[3] == REG_CX &&
	    (s->place.reg[0] == REG_DI || !(s->probe.flags & LMT_PROBE_UD_IS_STATE)))
		s->probe.flags |= LMT_PROBE_PLAIN_REGS;
	if (kind == LMT_PROBE_NEWSTATE) {
		s->probe.reg_ptr = s->place.reg[0];
		s->probe.reg_ud = s->place.reg[1];
	} else if (kind != LMT_PROBE_ANY && kind != LMT_PROBE_C_CALL && kind != LMT_PROBE_C_HEAP &&
		   kind != LMT_PROBE_FOREIGN) {
		s->probe.reg_ptr = s->place.reg[0];
		s->probe.reg_osize = s->place.reg[1];
	}
	if (kind == LMT_PROBE_THROW)
		s->program = PLAN_THROW;
	if (kind == LMT_PROBE_ERR_MEM)
		s->program = PLAN_LUAJIT;
	if (kind == LMT_PROBE_FFI_CALL || kind == LMT_PROBE_C_CALL)
		s->program = PLAN_FFI;
	if (kind == LMT_PROBE_C_HEAP)
		s->program = PLAN_C_HEAP;
	if (kind == LMT_PROBE_FOREIGN)
		s->program = PLAN_FOREIGN;
}

/* Does every state that uses the allocator have an ud of its own? */
static bool ud_tells_state(const struct resolved *r, uint32_t allocator)
{
	vec_each(a, &r->states) {
		if (a->allocator != allocator)
			continue;
		if (!resolved_ud_is_own(r, a))
			return false;
	}
	return true;
}

static uint8_t allocator_flags(const struct resolved *r, uint32_t index)
{
	const struct allocator *a = &r->allocators.v[index];
	bool arena = a->built_in && a->name && !strcmp(a->name, "lj_alloc_f");
	bool used = false;
	uint8_t flags = 0;

	vec_each(s, &r->states)
		used |= s->allocator == index;
	if (arena)
		flags |= LMT_PROBE_ARENA | LMT_PROBE_UD_IS_STATE;
	else if (used && ud_tells_state(r, index))
		flags |= LMT_PROBE_UD_IS_STATE;
	/* An embedder's allocator may hand on to Lua's own; only that pair can nest. */
	if (r->allocators.n > 1)
		flags |= LMT_PROBE_MAY_NEST;
	return flags;
}

int plan_allocator(const struct resolved *r, uint32_t allocator, const struct features *k,
		   struct plan_site *ret, struct errmsg *err)
{
	const struct allocator *a = &r->allocators.v[allocator];
	struct place_want want = want_of(FUNC_L_ALLOC, k);
	const struct code_function *fn;
	const struct code *code;
	const char *why;

	if (!a->file)
		return errmsg_set(err, -ENOENT,
				  "the allocator at 0x%llx is not in a file, so it cannot be probed",
				  (unsigned long long)a->uaddr);
	code = file_code(a->file);
	fn = code ? code_at(code, a->vaddr) : NULL;
	if (!fn)
		return errmsg_set(err, -ENOENT, "the allocator at %s+0x%llx cannot be decoded (%s)",
				  a->module, (unsigned long long)a->vaddr,
				  code ? "no unwind entry starts there" : a->file->err.text);
	why = a->built_in ? NULL : nonlocal_exit(code, fn);
	if (why)
		return errmsg_set(err, -ENOENT,
				  "the allocator at %s+0x%llx may %s, and a return probe on it would "
				  "then kill the target", a->module, (unsigned long long)a->vaddr, why);
	*ret = (struct plan_site){ .program = PLAN_ALLOC, .file = a->file, .layout = a->layout };
	if (!place_probe(fn, a->file->elf, &want, &ret->place) ||
	    !elf_offset_of(a->file->elf, ret->place.vaddr, &ret->offset))
		return errmsg_set(err, -ENOENT, "the allocator at %s+0x%llx cannot be probed: %s",
				  a->module, (unsigned long long)a->vaddr, ret->place.why);
	if (a->name)
		snprintf(ret->name, sizeof(ret->name), "%s", a->name);
	else
		snprintf(ret->name, sizeof(ret->name), "allocator+0x%llx",
			 (unsigned long long)a->vaddr);
	set_probe(ret, LMT_PROBE_ANY, allocator_flags(r, allocator));
	return 0;
}

int plan_extra(struct file *file, uint64_t vaddr, const char *name, uint8_t kind,
	       unsigned int needed, const struct features *k, struct plan_site *ret,
	       struct errmsg *err)
{
	struct place_want want = { .args = PLACE_ARGS, .needed = needed, .emulates = k->emulates,
				   .wants_return = kind == LMT_PROBE_C_HEAP };
	struct code_function fn;
	struct insn *insns;
	bool placed;

	insns = code_decode_one(file->elf, vaddr, &fn);
	if (!insns)
		insns = code_decode_entry(file->elf, vaddr, &fn);
	if (!insns)
		return errmsg_set(err, -ENOENT, "'%s' in '%s' cannot be decoded", name, file->path);
	*ret = (struct plan_site){ .program = PLAN_ENTRY, .file = file };
	placed = place_probe(&fn, file->elf, &want, &ret->place) &&
		 elf_offset_of(file->elf, ret->place.vaddr, &ret->offset);
	free(insns);
	if (!placed)
		return errmsg_set(err, -ENOENT, "'%s' in '%s' cannot be probed: %s", name, file->path,
				  ret->place.why ? ret->place.why : "it has no bytes in the file");
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	set_probe(ret, kind, 0);
	ret->probe.args = (uint8_t)needed;
	return 0;
}

static int add_allocators(struct plan *p, const struct resolved *r, const struct features *k)
{
	for (uint32_t i = 0; i < r->allocators.n; i++) {
		struct plan_site site;
		struct errmsg why;
		int rc = plan_allocator(r, i, k, &site, &why);

		if (rc)
			rc = plan_add_blind_spot(p, "allocations through one allocator: %s", why.text);
		else
			rc = vec_push(&p->sites, site);
		if (rc)
			return rc;
	}
	return 0;
}

static bool planned(const struct plan *p, const struct file *file, uint64_t offset)
{
	vec_each(s, &p->sites)
		if (s->file == file && s->offset == offset)
			return true;
	return false;
}

static struct plan_function place_function(const struct runtime *rt, enum func_id id,
					   const struct features *k)
{
	const struct func_answer *a = &rt->fn[id];
	struct plan_function f = { .runtime = rt->id, .id = id, .why_not = a->why_not };
	const struct code *code = a->vaddr ? file_code(rt->file) : NULL;
	const struct code_function *fn = code ? code_at(code, a->vaddr) : NULL;
	struct place_want want = want_of(id, k);

	if (fn)
		f.placed = place_probe(fn, rt->file->elf, &want, &f.place);
	else if (a->vaddr)
		f.why_not = id == FUNC_DUMMYNODE ? wants[id].why_not : "its code could not be decoded";
	return f;
}

/*
 * The end of a state is seen at lua_close or, where that is dear to probe or not found, at
 * close_state, in which it ends. (A lua_newstate that fails ends there too, with a state that
 * nobody knows.)
 */
static enum func_id close_function(const struct plan_function *all)
{
	const struct plan_function *c = &all[FUNC_LUA_CLOSE], *s = &all[FUNC_CLOSE_STATE];

	return s->placed && (!c->placed || (s->place.emulated && !c->place.emulated))
		? FUNC_CLOSE_STATE : FUNC_LUA_CLOSE;
}

/* Functions that do the same for a tracer: the one that is not probed, and why; else NULL. */
static const char *done_by_another(const struct plan_function *all, enum func_id id)
{
	enum func_id close;

	if (!all[id].placed)
		return NULL;
	if (id == FUNC_LUA_GC && (all[FUNC_LUAC_FULLGC].placed || all[FUNC_LJ_GC_FULLGC].placed))
		return "the full collection it calls is probed";
	if (id != FUNC_LUA_CLOSE && id != FUNC_CLOSE_STATE)
		return NULL;
	close = close_function(all);
	return id == close ? NULL : "the other end of closing is probed";
}

/* Where the exit handler's call of lj_trace_exit returns to; 0 unless there is just one call. */
static uint64_t trace_exit_return(const struct runtime *rt)
{
	const struct code *code = file_code(rt->file);
	uint64_t target = rt->fn[FUNC_LJ_TRACE_EXIT].vaddr;
	const struct code_edge *e;
	size_t n = 0;

	if (!code || !target)
		return 0;
	e = code_callers(code, target, &n);
	if (n != 1)
		return 0;
	return e->at + code_get(code, e->function)->insn[e->insn].len + rt->bias;
}

/* Attaches a placed function if its row says so; else says why not. */
static int probe_function(struct plan *p, const struct runtime *rt, struct plan_function *f)
{
	struct plan_site site = { .program = PLAN_ENTRY, .file = rt->file, .layout = rt->layout,
				  .place = f->place };

	if (!f->placed || !elf_offset_of(rt->file->elf, f->place.vaddr, &site.offset))
		return 0;
	if (!wants[f->id].probe) {
		f->why_not = wants[f->id].why_not;
		return 0;
	}
	f->probed = planned(p, rt->file, site.offset); /* as the allocator of some state */
	if (f->probed || wants[f->id].probe == LMT_PROBE_ANY) {
		f->why_not = "no state uses it";
		return 0;
	}
	f->probed = true;
	snprintf(site.name, sizeof(site.name), "%s", func_name(f->id));
	set_probe(&site, wants[f->id].probe, 0);
	site.probe.runtime = (uint8_t)rt->id;
	site.probe.args = f->id == FUNC_LUA_GC;
	if (site.probe.kind == LMT_PROBE_ERR_MEM)
		site.probe.exit_ret = trace_exit_return(rt);
	return vec_push(&p->sites, site);
}

/* All functions of a runtime: placed for doctor, attached as their rows say. */
static int add_functions(struct plan *p, const struct runtime *rt, const struct features *k)
{
	struct plan_function all[FUNC_MAX];

	for (int id = 0; id < FUNC_MAX; id++)
		all[id] = place_function(rt, (enum func_id)id, k);
	for (int id = 0; id < FUNC_MAX; id++) {
		unsigned int family = func_family((enum func_id)id);
		const char *other = done_by_another(all, (enum func_id)id);
		int rc = 0;

		if (family && family != rt->family)
			continue;
		if (other)
			all[id].why_not = other;
		else
			rc = probe_function(p, rt, &all[id]);
		if (rc || vec_push(&p->functions, all[id]))
			return -ENOMEM;
	}
	return 0;
}

/* Where the callers of the allocator keep their state, so that BPF need not search for it. */
int plan_add_callsites(struct plan *p, const struct runtime *rt)
{
	const struct code *code = file_code(rt->file);
	struct alloc_sites found = { 0 };
	int rc = 0;

	if (code && rt->layout)
		rc = alloc_sites_find(code, rt->layout->l.G_alloc.off, rt->fn[FUNC_LUA_GETALLOCF].vaddr,
				      &found);
	vec_each(s, &found.v) {
		struct plan_callsite site = { s->vaddr + rt->bias, rt->id, s->g_place, s->L_place };

		if (!rc)
			rc = vec_push(&p->callsites, site);
	}
	vec_deinit(&found.v);
	return rc;
}

#define UNWIND_LEVELS 3   /* luaM_realloc_, luaH_new, luaV_execute, and one in between */
#define UNWIND_MAX 4000

/*
 * Lua 5.1, and 5.4 while it makes a table, keep the pc in a register of luaV_execute: the frames between
 * that and the allocator.
 */
static int add_unwind(struct plan *p, const struct runtime *rt)
{
	const struct code *code = file_code(rt->file);
	struct vaddrs callers = { 0 };
	struct cfi *cfi;
	int rc;

	if (!code || !rt->layout || !(rt->layout->l.hot.is_51 || rt->layout->l.hot.pc_lags))
		return 0;
	cfi = cfi_new(rt->file->elf);
	rc = alloc_callers_find(code, rt->layout->l.G_alloc.off, UNWIND_LEVELS, UNWIND_MAX, &callers);
	for (size_t i = 0; !rc && cfi && i < callers.v.n; i++) {
		struct plan_unwind u = { .uaddr = callers.v.v[i] + rt->bias };
		struct cfi_row row;

		if (!cfi_row(cfi, callers.v.v[i], &row))
			continue;
		u.row.bytes = row.bytes;
		u.row.by_rbp = row.by_rbp;
		memcpy(u.row.word, row.word, sizeof(row.word));
		rc = vec_push(&p->unwind, u);
	}
	cfi_free(cfi);
	vec_deinit(&callers.v);
	return rc;
}

static int add_runtime(struct plan *p, const struct runtime *rt, const struct features *k)
{
	char title[64];
	int rc = plan_add_callsites(p, rt);

	if (!rc)
		rc = add_unwind(p, rt);
	if (!rc)
		rc = add_functions(p, rt, k);
	if (!rc)
		rc = plan_add_refusals(p, rt);
	runtime_title(rt, title, sizeof(title));
	if (!rc && !rt->layout)
		rc = plan_add_blind_spot(p, "states and lines of %s in %s: none is known (%s)", title,
					 rt->module, rt->evidence);
	return rc;
}

int plan_build(const struct resolved *r, const struct features *k, struct plan **ret,
	       struct errmsg *err)
{
	struct plan *p = calloc(1, sizeof(*p));
	int rc = p ? 0 : -ENOMEM;

	if (!rc)
		rc = add_allocators(p, r, k);
	for (size_t i = 0; !rc && i < r->runtimes.n; i++)
		rc = add_runtime(p, &r->runtimes.v[i], k);
	if (rc) {
		plan_free(p);
		return errmsg_set(err, rc, "out of memory");
	}
	*ret = p;
	return 0;
}

void plan_take_blind_spots(struct plan *p, struct plan *from)
{
	vec_each(spot, &from->blind_spots)
		if (vec_push(&p->blind_spots, *spot))
			free(*spot);
	from->blind_spots.n = 0;
}

int plan_loader(struct file *file, struct plan_site *ret)
{
	uint64_t vaddr = elf_find_sym(file->elf, "_dl_debug_state", NULL);
	struct plan_site site = { .program = PLAN_ENTRY, .file = file };

	if (!vaddr || !elf_offset_of(file->elf, vaddr, &site.offset))
		return -ENOENT;
	snprintf(site.name, sizeof(site.name), "_dl_debug_state");
	set_probe(&site, LMT_PROBE_MAPS, 0);
	*ret = site;
	return 0;
}
