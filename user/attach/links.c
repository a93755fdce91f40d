/* SPDX-License-Identifier: MIT */
/* Which probes stand where, and the links that keep them there. */
#include "attach_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "discover/proc.h"
#include "sys.h"

void attach_take_off(struct attach *a, int slot, const struct file *file)
{
	size_t n = 0;

	for (size_t i = 0; i < a->links.n; i++) {
		if (a->links.v[i].slot == slot && (!file || a->links.v[i].file == file))
			close(a->links.v[i].fd);
		else
			a->links.v[n++] = a->links.v[i];
	}
	a->links.n = n;
	n = 0;
	for (size_t i = 0; i < a->alloc_batches.n; i++) {
		if (a->alloc_batches.v[i]->slot == slot && (!file || a->alloc_batches.v[i]->file == file))
			free(a->alloc_batches.v[i]);
		else
			a->alloc_batches.v[n++] = a->alloc_batches.v[i];
	}
	a->alloc_batches.n = n;
	n = 0;
	for (size_t i = 0; i < a->probed.n; i++)
		if (a->probed.v[i].slot != slot || (file && a->probed.v[i].file != file))
			a->probed.v[n++] = a->probed.v[i];
		else if (vec_push(&a->free_rows, a->probed.v[i].row))
			log_debug("out of memory: the row of a probe is not used again");
	a->probed.n = n;
}

static struct probed *probed_at(struct attach *a, int slot, const struct plan_site *site)
{
	vec_each(p, &a->probed)
		if (p->file == site->file && p->offset == site->offset &&
		    p->program == site->program && p->slot == slot)
			return p;
	return NULL;
}

/*
 * Writes the probe's row; its index is the cookie. 0 when the place has its probe already: a row
 * that knew no layout learns it then. Negative errno when the table is full.
 */
static int enter_probe(struct attach *a, int slot, const struct plan_site *site)
{
	struct probed *there = probed_at(a, slot, site);
	bool again = !there && a->free_rows.n;
	uint32_t i = there ? there->row : again ? a->free_rows.v[a->free_rows.n - 1] : a->n_probes + 1;
	struct lmt_probe probe = site->probe;
	struct probed mine = { site->file, site->offset, site->program, slot, i };
	int fd = bpf_map__fd(a->skel->maps.probes);

	if (i >= LMT_MAX_PROBES)
		return -E2BIG;
	probe.layout = attach_layout_index(a, site->layout);
	if (there && !probe.layout)
		return 0;
	if (bpf_map_update_elem(fd, &i, &probe, BPF_ANY))
		return -errno;
	if (there)
		return 0;
	if (vec_push(&a->probed, mine))
		return -ENOMEM;
	if (again)
		a->free_rows.n--;
	else
		a->n_probes++;
	return (int)i;
}

static int keep_link(struct attach *a, const struct batch *b, int fd)
{
	struct link link = { .fd = fd, .slot = b->slot, .file = b->file, .program = b->program };

	if (fd < 0)
		return fd;
	if (vec_push(&a->links, link)) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

static int link_multi(struct attach *a, struct bpf_program *prog, unsigned int type,
		      const struct batch *b, bool ret)
{
	char path[FILE_PATH];
	int fd;

	file_held_path(b->file, path);
	fd = sys_uprobe_multi(bpf_program__fd(prog), type, path, b->offsets,
			      b->cookies, b->n, b->pid, ret);
	return keep_link(a, b, fd);
}

static int link_perf(struct attach *a, struct bpf_program *prog, const struct batch *b, bool ret)
{
	char path[FILE_PATH];

	file_held_path(b->file, path);
	for (size_t i = 0; i < b->n; i++) {
		int fd = sys_uprobe_perf(bpf_program__fd(prog), path, b->offsets[i],
					 b->cookies[i], b->pid, ret);
		int rc = keep_link(a, b, fd);

		if (rc)
			return rc;
	}
	return 0;
}

static int link_program(struct attach *a, struct bpf_program *prog, const struct batch *b, bool ret)
{
	return a->way == WAY_PERF ? link_perf(a, prog, b, ret)
				  : link_multi(a, prog, SYS_UPROBE_MULTI, b, ret);
}

/* The return side first: a call that enters before it stands would wait for it in vain. */
static int link_alloc(struct attach *a, const struct batch *b)
{
	int rc;

	if (a->way == WAY_SESSION)
		return link_multi(a, a->skel->progs.alloc_session, SYS_UPROBE_SESSION, b, false);
	rc = link_program(a, a->skel->progs.alloc_leave, b, true);
	return rc ? rc : link_program(a, a->skel->progs.alloc_enter, b, false);
}

static int link_c_heap(struct attach *a, const struct batch *b)
{
	int rc;

	if (a->way == WAY_SESSION)
		return link_multi(a, a->skel->progs.c_heap_session, SYS_UPROBE_SESSION, b, false);
	rc = link_program(a, a->skel->progs.c_heap_leave, b, true);
	return rc ? rc : link_program(a, a->skel->progs.c_heap_enter, b, false);
}

int attach_own(struct attach *a, uint64_t offset)
{
	static const char own[] = "/proc/self/exe";
	int prog = bpf_program__fd(a->way == WAY_SESSION ? a->skel->progs.alloc_session
							 : a->skel->progs.alloc_enter);
	struct link link = { .fd = a->way == WAY_PERF
		? sys_uprobe_perf(prog, own, offset, 0, getpid(), false)
		: sys_uprobe_multi(prog, a->way == WAY_SESSION ? SYS_UPROBE_SESSION : SYS_UPROBE_MULTI, own,
				   &offset, NULL, 1, getpid(), false) };

	if (link.fd >= 0 && vec_push(&a->links, link)) {
		close(link.fd);
		return -ENOMEM;
	}
	return link.fd < 0 ? link.fd : 0;
}

/* Remembers the batch, so that it can be placed again after a pause. */
static int keep_batch(struct attach *a, const struct batch *b)
{
	struct batch *copy = malloc(sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = *b;
	if (!vec_push(&a->alloc_batches, copy))
		return 0;
	free(copy);
	return -ENOMEM;
}

static int link_batch(struct attach *a, const struct batch *b)
{
	int rc;

	if (a->dropped[b->program])
		return 0;
	switch (b->program) {
	case PLAN_ENTRY:
	case PLAN_THROW:
	case PLAN_FOREIGN:
		return link_program(a, a->skel->progs.lua_entry, b, false);
	case PLAN_LUAJIT:
	case PLAN_FFI:
		if (bpf_program__fd(a->skel->progs.luajit_entry) < 0)
			return 0; /* LuaJIT came later: its memory errors and FFI calls are not seen */
		return link_program(a, a->skel->progs.luajit_entry, b, false);
	case PLAN_C_HEAP:
		return link_c_heap(a, b);
	case PLAN_ALLOC:
		if (keep_batch(a, b))
			return -ENOMEM;
		if (a->paused)
			return 0;
		rc = link_alloc(a, b);
		if (rc < 0) /* its rows are given up too */
			free(a->alloc_batches.v[--a->alloc_batches.n]);
		return rc;
	case PLAN_PROGRAMS:
		break;
	}
	return -EINVAL;
}

static void close_links(struct attach *a, enum plan_program program)
{
	size_t n = 0;

	for (size_t i = 0; i < a->links.n; i++) {
		if (a->links.v[i].program == program)
			close(a->links.v[i].fd);
		else
			a->links.v[n++] = a->links.v[i];
	}
	a->links.n = n;
}

uint64_t attach_hits(const struct attach *a, enum plan_program program)
{
	return program == PLAN_THROW ? a->skel->bss->throws
	       : program == PLAN_FOREIGN ? a->skel->bss->own_calls
	       : program == PLAN_FFI ? a->skel->bss->c_calls : 0;
}

void attach_drop(struct attach *a, enum plan_program program)
{
	close_links(a, program);
	a->dropped[program] = true;
}

void attach_pause(struct attach *a)
{
	a->skel->bss->gaps = LMT_GAPS_NOW; /* first: from now on calls escape us */
	close_links(a, PLAN_ALLOC);
	a->paused = true;
}

int attach_resume(struct attach *a)
{
	int rc = 0;

	if (!a->paused)
		return 0;
	a->paused = false;
	for (size_t i = 0; !rc && i < a->alloc_batches.n; i++) {
		rc = link_alloc(a, a->alloc_batches.v[i]);
		if (rc == -ESRCH) /* it has ended meanwhile */
			rc = 0;
	}
	a->skel->bss->gaps = LMT_GAPS_BEFORE; /* last: until now calls escaped us */
	return rc;
}

void attach_alloc_runs(const struct attach *a, uint64_t *runs, uint64_t *ns)
{
	const struct bpf_program *progs[] = { a->skel->progs.alloc_session, a->skel->progs.alloc_enter,
					      a->skel->progs.alloc_leave };

	*runs = *ns = 0;
	for (size_t i = 0; i < sizeof(progs) / sizeof(progs[0]); i++) {
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof(info);
		int fd = bpf_program__fd(progs[i]);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
			continue;
		*runs += info.run_cnt;
		*ns += info.run_time_ns;
	}
}

static int explain_link(int rc, pid_t pid, const struct batch *b, struct errmsg *err)
{
	struct proc_info info;

	if (rc == -ESRCH || proc_read_info(pid, &info) == -ESRCH)
		return errmsg_set(err, -ESRCH, "process %d ended while it was being attached", pid);
	return errmsg_set(err, rc == -EACCES ? -EPERM : rc,
			  "cannot place probes in '%s' for process %d: %s; see 'luamemtrace doctor -p %d'",
			  b->file->path, pid, strerror(-rc), pid);
}

/* Enters a call site as BPF would, see callsite_get(); without room BPF has to search. */
static void enter_callsite(struct attach *a, int slot, const struct plan_callsite *c)
{
	uint64_t key = LMT_KEY(slot, c->uaddr);
	uint32_t i = LMT_CALLSITE_HASH(key);

	for (int step = 0; step < LMT_CALLSITE_STEPS; step++, i++) {
		struct lmt_callsite *cs = &a->callsites[i & (LMT_CALLSITES - 1)];

		if (cs->key && cs->key != key)
			continue;
		cs->g_place = c->g_place;
		cs->L_place = c->L_place;
		cs->known = (uint8_t)(c->runtime < 255 ? c->runtime : 255);
		cs->key = key;
		return;
	}
}

static void enter_code(struct attach *a, int slot, const struct plan *p)
{
	vec_each(c, &p->callsites)
		enter_callsite(a, slot, c);
	vec_each(u, &p->unwind) {
		uint64_t key = LMT_KEY(slot, u->uaddr);

		/* Without room a line of Lua 5.1 may be that of an earlier instruction. */
		bpf_map_update_elem(bpf_map__fd(a->skel->maps.unwind), &key, &u->row, BPF_ANY);
	}
}

/* Places whose link failed have no probe: another process that runs the same file may fare better. */
static int link_or_forget(struct attach *a, const struct batch *b)
{
	int rc = link_batch(a, b);

	if (rc < 0)
		a->probed.n -= b->n < a->probed.n ? b->n : a->probed.n; /* they came last */
	return rc;
}

/* Gathers the sites from the first on that share its file and program, and links them. */
static int link_alike(struct attach *a, struct batch *b, const struct plan *p, size_t first, bool *done)
{
	b->program = p->sites.v[first].program;
	for (size_t k = first; k < p->sites.n && b->n < MAX_SITES_IN_LINK; k++) {
		const struct plan_site *s = &p->sites.v[k];
		int row;

		if (done[k] || s->program != b->program || s->file != b->file)
			continue;
		row = a->without >> s->probe.kind & 1 ? 0 : enter_probe(a, b->slot, s);
		if (row < 0)
			return row;
		done[k] = true;
		if (!row)
			continue;
		b->offsets[b->n] = s->offset;
		b->cookies[b->n++] = (uint64_t)row;
	}
	return b->n ? link_or_forget(a, b) : 0;
}

/* What is watched is so in the processes that need it, never in all. */
static bool is_shared(const struct attach *a, const struct plan_site *site)
{
	return a->system_wide && site->probe.kind != LMT_PROBE_C_CALL && site->probe.kind != LMT_PROBE_C_HEAP &&
	       site->probe.kind != LMT_PROBE_FOREIGN;
}

int attach_plan(struct attach *a, int slot, pid_t pid, const struct plan *p, struct errmsg *err)
{
	static const enum plan_program order[] = { PLAN_ENTRY, PLAN_THROW, PLAN_LUAJIT, PLAN_FFI, PLAN_ALLOC };
	auto_free bool *done = calloc(p->sites.n + 1, sizeof(*done));

	if (!done)
		return errmsg_set(err, -ENOMEM, "out of memory");
	enter_code(a, slot, p);
	for (size_t o = 0; o < sizeof(order) / sizeof(order[0]); o++) {
		for (size_t i = 0; i < p->sites.n; i++) {
			bool shared = is_shared(a, &p->sites.v[i]);
			struct batch b = { .file = p->sites.v[i].file, .slot = shared ? 0 : slot,
					   .pid = shared ? 0 : pid };
			int rc;

			if (done[i] || p->sites.v[i].program != order[o])
				continue;
			rc = link_alike(a, &b, p, i, done);
			if (rc)
				return explain_link(rc, pid, &b, err);
		}
	}
	return 0;
}

int attach_site(struct attach *a, int slot, pid_t pid, const struct plan_site *site,
		struct errmsg *err)
{
	bool shared = is_shared(a, site);
	struct batch b = { .program = site->program, .file = site->file, .slot = shared ? 0 : slot, .pid = shared ? 0 : pid,
			   .offsets = { site->offset }, .n = 1 };
	int row, rc;

	if (a->without >> site->probe.kind & 1)
		return 0;
	row = rc = enter_probe(a, b.slot, site);
	if (!row)
		return (int)probed_at(a, b.slot, site)->row;
	if (row > 0) {
		b.cookies[0] = (uint64_t)row;
		rc = link_or_forget(a, &b);
	}
	return rc < 0 ? explain_link(rc, pid, &b, err) : row;
}
