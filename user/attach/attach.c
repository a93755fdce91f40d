/* SPDX-License-Identifier: MIT */
#include "attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "config.h"
#include "discover/proc.h"
#include "luamemtrace.skel.h"
#include "sys.h"

#define MAX_SITES_IN_LINK 256

struct attach {
	struct skel *skel;
	struct features k;
	struct attach_maps maps;
	vec_of(int) links;
	vec_of(const struct layout *) layouts; /* BPF index - 1; 0 is "unknown" */
	uint32_t n_probes;
	uint32_t process_state[LMT_SLOT_MAX];
	int n_slots;
};

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	log_vtrace(fmt, ap);
	return 0;
}

static uint32_t next_power_of_two(uint64_t n)
{
	uint32_t p = 1;

	while (p < n && p < 1u << 31)
		p <<= 1;
	return p;
}

static void set_type(struct bpf_program *prog, unsigned int type)
{
	bpf_program__set_expected_attach_type(prog, (enum bpf_attach_type)type);
}

/* Which programs are loaded, and as what: decided before the verifier sees them. */
static void choose_programs(struct attach *a)
{
	unsigned int entry = a->k.multi ? SYS_UPROBE_MULTI : 0;

	bpf_program__set_autoload(a->skel->progs.alloc_session, a->k.session);
	bpf_program__set_autoload(a->skel->progs.alloc_enter, !a->k.session);
	bpf_program__set_autoload(a->skel->progs.alloc_leave, !a->k.session);
	set_type(a->skel->progs.alloc_session, SYS_UPROBE_SESSION);
	set_type(a->skel->progs.alloc_enter, entry);
	set_type(a->skel->progs.alloc_leave, entry);
	set_type(a->skel->progs.lua_entry, entry);
	set_type(a->skel->progs.luajit_entry, entry);
}

static void set_sizes(struct attach *a, const struct attach_config *cfg)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	a->maps.start_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	/* Half full at max_blocks. */
	a->maps.n_buckets = next_power_of_two((cfg->max_blocks * 2 + LMT_BUCKET_SLOTS - 1) /
					      LMT_BUCKET_SLOTS);
	a->maps.n_states = cfg->max_states < LMT_MAX_STATES ? cfg->max_states : LMT_MAX_STATES;
	a->maps.n_sites = next_power_of_two(cfg->max_sites);
	bpf_map__set_max_entries(a->skel->maps.blocks, a->maps.n_buckets);
	bpf_map__set_max_entries(a->skel->maps.states, a->maps.n_states);
	bpf_map__set_max_entries(a->skel->maps.sites, a->maps.n_sites);
	bpf_map__set_max_entries(a->skel->maps.owners, a->maps.n_states * 3);
	a->skel->rodata->config.bucket_mask = a->maps.n_buckets - 1;
	a->skel->rodata->config.site_mask = a->maps.n_sites - 1;
	a->skel->rodata->config.state_max = a->maps.n_states;
}

static void set_map_fds(struct attach *a)
{
	a->maps.blocks = bpf_map__fd(a->skel->maps.blocks);
	a->maps.states = bpf_map__fd(a->skel->maps.states);
	a->maps.sites = bpf_map__fd(a->skel->maps.sites);
	a->maps.stats = bpf_map__fd(a->skel->maps.stats);
	a->maps.ring = bpf_map__fd(a->skel->maps.ring);
	a->maps.owners = bpf_map__fd(a->skel->maps.owners);
	a->maps.find_counts = bpf_map__fd(a->skel->maps.find_counts);
	a->maps.next_state = &a->skel->bss->next_state;
	a->maps.now_ms = &a->skel->bss->now_ms;
}

static int explain_load(int rc, const struct attach *a, struct errmsg *err)
{
	if (rc == -ENOMEM || rc == -E2BIG)
		return errmsg_set(err, -ENOMEM,
				  "not enough memory for the table of live blocks (%llu MiB); lower "
				  "--max-blocks",
				  (unsigned long long)a->maps.n_buckets * sizeof(struct lmt_bucket) >> 20);
	if (rc == -EPERM || rc == -EACCES)
		return errmsg_set(err, -EPERM,
				  "the kernel refused the BPF programs: %s; run as root, see "
				  "'luamemtrace doctor', details with -v -v", strerror(-rc));
	return errmsg_set(err, -EOPNOTSUPP,
			  "the kernel refused the BPF programs: %s; see 'luamemtrace doctor', details "
			  "with -v -v", strerror(-rc));
}

int attach_new(const struct attach_config *cfg, const struct features *k, struct attach **ret,
	       struct errmsg *err)
{
	struct attach *a = calloc(1, sizeof(*a));
	struct bpf_link *exec_link;
	int rc;

	if (!a)
		return errmsg_set(err, -ENOMEM, "out of memory");
	a->k = *k;
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(print_libbpf);
	a->skel = skel__open();
	if (!a->skel) {
		rc = errmsg_set(err, -errno, "cannot open the BPF programs: %s", strerror(errno));
		goto fail;
	}
	choose_programs(a);
	set_sizes(a, cfg);
	rc = skel__load(a->skel);
	if (rc) {
		rc = explain_load(rc, a, err);
		goto fail;
	}
	set_map_fds(a);
	a->skel->bss->next_state = 1; /* index 0 is "none" */
	exec_link = bpf_program__attach(a->skel->progs.on_exec);
	if (!exec_link)
		log_warn("cannot watch for exec (%s); a target that runs another program is noticed late",
			 strerror(errno));
	a->skel->links.on_exec = exec_link;
	*ret = a;
	return 0;
fail:
	attach_free(a);
	return rc;
}

void attach_detach(struct attach *a)
{
	vec_each(fd, &a->links)
		close(*fd);
	vec_deinit(&a->links);
	if (a->skel && a->skel->links.on_exec) {
		bpf_link__destroy(a->skel->links.on_exec);
		a->skel->links.on_exec = NULL;
	}
}

void attach_free(struct attach *a)
{
	if (!a)
		return;
	if (a->skel && a->skel->bss)
		attach_set_active(a, false);
	attach_detach(a);
	skel__destroy(a->skel);
	vec_deinit(&a->layouts);
	free(a);
}

void attach_set_active(struct attach *a, bool on)
{
	a->skel->bss->active = on;
}

unsigned int attach_probe_count(const struct attach *a)
{
	return a->n_probes;
}

const char *attach_method(const struct attach *a)
{
	return a->k.session ? "uprobe_multi session" : a->k.multi ? "uprobe_multi" : "perf";
}

const struct attach_maps *attach_maps(const struct attach *a)
{
	return &a->maps;
}

/* Claims an entry of states, as BPF does for states that are born; 0 when all are taken. */
static uint32_t claim_state(struct attach *a, const struct lmt_state *st)
{
	uint32_t i = __atomic_fetch_add(&a->skel->bss->next_state, 1, __ATOMIC_RELAXED);

	if (i >= a->maps.n_states || bpf_map_update_elem(a->maps.states, &i, st, BPF_ANY))
		return 0;
	return i;
}

int attach_add_process(struct attach *a, pid_t pid, struct errmsg *err)
{
	struct lmt_state st = { .flags = LMT_STATE_USED | LMT_STATE_PROCESS };
	struct lmt_proc proc = { .tgid = (uint32_t)pid };
	uint32_t slot = (uint32_t)a->n_slots + 1, tgid = (uint32_t)pid;

	if (slot >= LMT_SLOT_MAX)
		return errmsg_set(err, -E2BIG, "more than %d processes", LMT_SLOT_MAX - 1);
	st.slot = slot;
	proc.state = claim_state(a, &st);
	if (!proc.state || bpf_map_update_elem(bpf_map__fd(a->skel->maps.procs), &slot, &proc, BPF_ANY) ||
	    bpf_map_update_elem(bpf_map__fd(a->skel->maps.slots), &tgid, &slot, BPF_ANY))
		return errmsg_set(err, -ENOMEM, "cannot enter process %d: %s", pid, strerror(errno));
	a->n_slots++;
	a->process_state[slot] = proc.state;
	a->skel->bss->only_slot = slot;
	a->skel->bss->only_tgid = a->n_slots == 1 ? tgid : 0;
	return (int)slot;
}

uint32_t attach_process_state(const struct attach *a, int slot)
{
	return a->process_state[slot];
}

/* Index of the layout in the BPF table; 0 when there is none or no room. */
static uint32_t layout_index(struct attach *a, const struct layout *l)
{
	uint32_t i;

	if (!l)
		return 0;
	for (i = 0; i < a->layouts.n; i++)
		if (a->layouts.v[i] == l)
			return i + 1;
	i = (uint32_t)a->layouts.n + 1;
	if (i >= LMT_MAX_LAYOUTS || vec_push(&a->layouts, l) ||
	    bpf_map_update_elem(bpf_map__fd(a->skel->maps.layouts), &i, &l->l, BPF_ANY)) {
		log_warn("no room for layout %s: its states are counted as one", l->id);
		return 0;
	}
	return i;
}

const struct layout *attach_layout(const struct attach *a, uint32_t index)
{
	return index && index <= a->layouts.n ? a->layouts.v[index - 1] : NULL;
}

static int add_owner(struct attach *a, int slot, uint64_t uaddr, uint32_t state)
{
	uint64_t key = LMT_KEY(slot, uaddr);

	if (!uaddr)
		return 0;
	return bpf_map_update_elem(a->maps.owners, &key, &state, BPF_ANY) ? -errno : 0;
}

int attach_add_state(struct attach *a, int slot, const struct resolved_state *rs, bool ud_tells,
		     bool arena)
{
	struct lmt_state st = {
		.g = rs->G,
		.main = rs->L,
		.ud = rs->gc.ud,
		.slot = (uint32_t)slot,
		.runtime = rs->runtime,
		.flags = LMT_STATE_USED | (arena ? LMT_STATE_ARENA : 0u),
	};
	uint32_t i;

	st.layout = layout_index(a, rs->layout);
	if (!st.layout)
		return -ENOENT;
	st.block = rs->L - (uint64_t)rs->layout->l.block_L.off;
	i = claim_state(a, &st);
	if (!i)
		return -E2BIG;
	if (add_owner(a, slot, st.g, i) || add_owner(a, slot, st.block, i) ||
	    (ud_tells && add_owner(a, slot, st.ud, i)))
		return -E2BIG;
	return (int)i;
}

/* Writes the probe's row; its index is the cookie. Negative errno when the table is full. */
static int enter_probe(struct attach *a, const struct plan_site *site)
{
	uint32_t i = a->n_probes + 1;
	struct lmt_probe probe = site->probe;

	if (i >= LMT_MAX_PROBES)
		return -E2BIG;
	probe.layout = layout_index(a, site->layout);
	if (bpf_map_update_elem(bpf_map__fd(a->skel->maps.probes), &i, &probe, BPF_ANY))
		return -errno;
	a->n_probes++;
	return (int)i;
}

static int keep_link(struct attach *a, int fd)
{
	if (fd < 0)
		return fd;
	if (vec_push(&a->links, fd)) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

/* The sites of one program in one file. */
struct batch {
	const struct file *file;
	uint64_t offsets[MAX_SITES_IN_LINK];
	uint64_t cookies[MAX_SITES_IN_LINK];
	size_t n;
};

static int link_multi(struct attach *a, struct bpf_program *prog, unsigned int type, pid_t pid,
		      const struct batch *b, bool ret)
{
	return keep_link(a, sys_uprobe_multi(bpf_program__fd(prog), type, b->file->open_path,
					     b->offsets, b->cookies, b->n, pid, ret));
}

static int link_perf(struct attach *a, struct bpf_program *prog, pid_t pid, const struct batch *b,
		     bool ret)
{
	for (size_t i = 0; i < b->n; i++) {
		int rc = keep_link(a, sys_uprobe_perf(bpf_program__fd(prog), b->file->open_path,
						      b->offsets[i], b->cookies[i], pid, ret));

		if (rc)
			return rc;
	}
	return 0;
}

static int link_program(struct attach *a, struct bpf_program *prog, pid_t pid,
			const struct batch *b, bool ret)
{
	return a->k.multi ? link_multi(a, prog, SYS_UPROBE_MULTI, pid, b, ret)
			  : link_perf(a, prog, pid, b, ret);
}

/* The return side first: a call that enters before it stands would wait for it in vain. */
static int link_batch(struct attach *a, enum plan_program program, pid_t pid, const struct batch *b)
{
	int rc;

	switch (program) {
	case PLAN_ENTRY:
		return link_program(a, a->skel->progs.lua_entry, pid, b, false);
	case PLAN_LUAJIT:
		return link_program(a, a->skel->progs.luajit_entry, pid, b, false);
	case PLAN_ALLOC:
		if (a->k.session)
			return link_multi(a, a->skel->progs.alloc_session, SYS_UPROBE_SESSION, pid, b,
					  false);
		rc = link_program(a, a->skel->progs.alloc_leave, pid, b, true);
		return rc ? rc : link_program(a, a->skel->progs.alloc_enter, pid, b, false);
	}
	return -EINVAL;
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
	struct lmt_callsite cs = {
		.key = LMT_KEY(slot, c->uaddr),
		.g_place = c->g_place,
		.L_place = c->L_place,
		.known = (uint8_t)(c->runtime < 255 ? c->runtime : 255),
	}, there;
	uint32_t i = LMT_CALLSITE_HASH(cs.key);
	int fd = bpf_map__fd(a->skel->maps.callsites);

	for (int step = 0; step < LMT_CALLSITE_STEPS; step++, i++) {
		uint32_t at = i & (LMT_CALLSITES - 1);

		if (bpf_map_lookup_elem(fd, &at, &there) || there.key)
			continue;
		bpf_map_update_elem(fd, &at, &cs, BPF_ANY);
		return;
	}
}

int attach_plan(struct attach *a, int slot, pid_t pid, const struct plan *p, struct errmsg *err)
{
	static const enum plan_program order[] = { PLAN_ENTRY, PLAN_LUAJIT, PLAN_ALLOC };
	auto_free bool *done = calloc(p->sites.n + 1, sizeof(*done));

	if (!done)
		return errmsg_set(err, -ENOMEM, "out of memory");
	vec_each(c, &p->callsites)
		enter_callsite(a, slot, c);
	vec_each(u, &p->unwind) {
		uint64_t key = LMT_KEY(slot, u->uaddr);

		/* Without room a line of Lua 5.1 may be that of an earlier instruction. */
		bpf_map_update_elem(bpf_map__fd(a->skel->maps.unwind), &key, &u->row, BPF_ANY);
	}
	for (size_t o = 0; o < sizeof(order) / sizeof(order[0]); o++) {
		for (size_t i = 0; i < p->sites.n; i++) {
			struct batch b = { .file = p->sites.v[i].file };
			int rc = 0;

			if (done[i] || p->sites.v[i].program != order[o])
				continue;
			for (size_t k = i; k < p->sites.n && b.n < MAX_SITES_IN_LINK; k++) {
				const struct plan_site *s = &p->sites.v[k];

				if (done[k] || s->program != order[o] || s->file != b.file)
					continue;
				rc = enter_probe(a, s);
				if (rc < 0)
					return explain_link(rc, pid, &b, err);
				b.offsets[b.n] = s->offset;
				b.cookies[b.n++] = (uint64_t)rc;
				done[k] = true;
			}
			rc = link_batch(a, order[o], pid, &b);
			if (rc)
				return explain_link(rc, pid, &b, err);
		}
	}
	return 0;
}

int attach_site(struct attach *a, pid_t pid, const struct plan_site *site, struct errmsg *err)
{
	struct batch b = { .file = site->file, .offsets = { site->offset }, .n = 1 };
	int rc = enter_probe(a, site);

	if (rc >= 0) {
		b.cookies[0] = (uint64_t)rc;
		rc = link_batch(a, site->program, pid, &b);
	}
	return rc < 0 ? explain_link(rc, pid, &b, err) : (int)a->n_probes;
}

void attach_add_callsites(struct attach *a, int slot, const struct plan_callsite *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		enter_callsite(a, slot, &c[i]);
}

int attach_set_ranges(struct attach *a, int slot, const struct lmt_ranges *ranges)
{
	uint32_t key = (uint32_t)slot;

	return bpf_map_update_elem(bpf_map__fd(a->skel->maps.ranges), &key, ranges, BPF_ANY) ? -errno : 0;
}

void attach_check_chunks(struct attach *a)
{
	int fd = bpf_map__fd(a->skel->maps.probes);

	for (uint32_t i = 1; i <= a->n_probes; i++) {
		struct lmt_probe probe;

		if (bpf_map_lookup_elem(fd, &i, &probe) || !(probe.flags & LMT_PROBE_ARENA))
			continue;
		probe.flags |= LMT_PROBE_CHECK_CHUNK;
		bpf_map_update_elem(fd, &i, &probe, BPF_ANY);
	}
}
