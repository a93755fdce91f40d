/* SPDX-License-Identifier: MIT */
#include "targets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "discover/family.h"
#include "session.h"
#include "session_find.h"

static void free_target(struct session_target *t)
{
	vec_deinit(&t->watched);
	free(t->memory);
	plan_free(t->plan);
	resolved_free(t->resolved);
	memread_close_process(&t->mem);
	target_free(t->target);
	if (t->pid_fd >= 0)
		close(t->pid_fd);
}

int targets_init(struct targets *ts)
{
	ts->all.v = calloc(SESSION_MAX_TARGETS, sizeof(*ts->all.v));
	ts->all.cap = SESSION_MAX_TARGETS;
	return ts->all.v ? 0 : -ENOMEM;
}

void targets_deinit(struct targets *ts)
{
	vec_each(t, &ts->all)
		free_target(t);
	vec_deinit(&ts->all);
	vec_deinit(&ts->retired);
	past_deinit(&ts->past);
	hashmap_deinit(&ts->of_pid);
}

struct session_target *session_target_of_pid(struct session *s, pid_t pid)
{
	const uint64_t *at = hashmap_lookup(&s->targets.of_pid, (uint64_t)pid);
	struct session_target *t = at && *at ? &s->targets.all.v[*at - 1] : NULL;

	/* The latest one: a process may have run other programs before. */
	return t && t->target && t->target->pid == pid ? t : NULL;
}

/* What nobody asks for once a process has ended: its memory, its mappings, its probes. */
static int shed(struct session *s, struct session_target *t)
{
	t->phase = TARGET_RETIRED;
	target_forget_maps(t->target);
	vec_deinit(&t->watched);
	if (t->plan) { /* the rest is for the last report */
		vec_deinit(&t->plan->sites);
		vec_deinit(&t->plan->unwind);
		vec_deinit(&t->plan->callsites);
	}
	return vec_push(&s->targets.retired, (uint32_t)(t - s->targets.all.v));
}

/* The entry of the process that ended first, of which a short note is kept. */
static struct session_target *take_oldest(struct session *s)
{
	struct session_target *t =
		&s->targets.all.v[s->targets.retired.v[s->targets.first_retired++]];

	if (session_shows_target(s, t) &&
	    past_add(&s->targets.past, t->target, t->resolved, t->reported_runtimes != 0,
		     s->cfg.max_states, s->names.strings))
		log_warn("out of memory: process %d is not reported", t->target->pid);
	free_target(t);
	if (s->targets.first_retired >= 1024) { /* drops the used part */
		s->targets.retired.n -= s->targets.first_retired;
		memmove(s->targets.retired.v, s->targets.retired.v + s->targets.first_retired,
			s->targets.retired.n * sizeof(*s->targets.retired.v));
		s->targets.first_retired = 0;
	}
	return t;
}

/* A free entry: that of a process long gone, else a new one. */
static struct session_target *take_entry(struct session *s)
{
	size_t ended = s->targets.retired.n - s->targets.first_retired;

	if (ended > SESSION_KEEP_ENDED || (ended && s->targets.all.n == SESSION_MAX_TARGETS))
		return take_oldest(s);
	return s->targets.all.n < SESSION_MAX_TARGETS ? &s->targets.all.v[s->targets.all.n++]
						      : NULL;
}

int session_open_target(struct session *s, pid_t pid, bool without_lua, struct session_target **ret,
			struct errmsg *err)
{
	struct session_target t = { .pid_fd = -1 }, *entry = NULL;
	uint64_t *at = NULL;
	int rc = target_open(pid, &t.target, err);

	if (!rc && memread_open_process(pid, &t.mem))
		rc = errmsg_set(err, -ENOMEM, "out of memory");
	if (!rc && t.target->modules.n)
		rc = memread_check_process(pid, t.target->modules.v[0].start, err);
	if (!rc)
		rc = resolve_process(t.target, &t.mem, &s->files, &t.resolved, err);
	if (!rc && !t.resolved->runtimes.n && !without_lua)
		rc = errmsg_set(err, -ESRCH,
				"process %d (%s) runs no Lua; 'luamemtrace list' shows those that do",
				pid, t.target->info.comm);
	if (!rc) {
		t.parent = s->cfg.children ? family_ancestor(pid, s->cfg.pids, s->cfg.n_pids) : 0;
		t.library_kib = proc_library_kib(pid);
		t.pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (t.pid_fd < 0 || !proc_is_alive(pid, t.target->info.start_ticks))
			rc = errmsg_set(err, -ESRCH, "process %d ended while it was being read", pid);
		else if (!(at = hashmap_get_or_add(&s->targets.of_pid, (uint64_t)pid)))
			rc = errmsg_set(err, -ENOMEM, "out of memory");
		else if (!(entry = take_entry(s)))
			rc = errmsg_set(err, -E2BIG, "more than %d processes", SESSION_MAX_TARGETS);
	}
	if (rc) {
		free_target(&t);
		return rc;
	}
	*entry = t;
	*at = (uint64_t)(entry - s->targets.all.v) + 1;
	if (ret)
		*ret = entry;
	return 0;
}

/* Learns of dlopen() at once where the dynamic loader can be probed, else by polling. */
void session_watch_loader(struct session *s, struct session_target *t)
{
	vec_each(m, &t->target->modules) {
		struct file *file = files_get(&s->files, m);
		struct plan_site site;
		struct errmsg why;

		if (!file || !file->elf || plan_loader(file, &site))
			continue;
		if (attach_site(s->attach, t->slot, t->target->pid, &site, &why) < 0)
			log_debug("no probe on the dynamic loader: %s", why.text);
		return;
	}
}

/* Who runs the same program later is looked at in haste, and counted should it end too soon. */
static void know_program(struct session *s, const struct session_target *t)
{
	vec_each(m, &t->target->modules)
		if (!strcmp(m->path, t->target->info.exe)) {
			attach_know_program(s->attach, m->dev, m->inode);
			return;
		}
}

int session_attach_target(struct session *s, struct session_target *t, struct errmsg *err)
{
	pid_t pid = t->target->pid;
	int rc = plan_build(t->resolved, &s->features, &t->plan, err);

	if (rc)
		return rc;
	rc = attach_add_process(s->attach, pid, err);
	if (rc < 0)
		return rc;
	t->slot = rc;
	s->targets.of_slot[rc] = t;
	if (session_enter_states(s, t))
		return errmsg_set(err, -ENOMEM, "cannot enter the states of process %d; raise "
				  "--max-states", pid);
	session_ask_labels(t, t->plan);
	rc = session_find_start(s, t, err);
	if (!rc)
		rc = attach_plan(s->attach, t->slot, pid, t->plan, err);
	if (!rc && session_uses_ffi(t))
		session_on_ffi(s, t);
	if (!rc)
		session_watch_copies(s, t);
	if (!rc && follow_wanted(s) && t->resolved->runtimes.n)
		know_program(s, t);
	if (!rc)
		session_follow_c_heap(s);
	if (!rc && !follow_wanted(s)) /* a probe in every process of the system would be too much */
		session_watch_loader(s, t);
	return rc ? rc : attach_publish(s->attach, t->slot, pid, err);
}

struct session_target *session_add_target(struct session *s, pid_t pid, bool without_lua, bool said)
{
	struct session_target *t = NULL;
	struct errmsg err;
	int rc = session_open_target(s, pid, without_lua, &t, &err);

	if (!rc)
		rc = session_attach_target(s, t, &err);
	if (t)
		t->held = s->cfg.command != NULL;
	if (!rc && session_watch_target(s, t))
		rc = errmsg_set(&err, -errno, "%s", strerror(errno));
	if (!rc) {
		log_debug("tracing process %d (%s) from now on", pid, t->target->info.comm);
		return t;
	}
	if (rc != -ESRCH && !said)
		log_warn("process %d is not traced: %s", pid, err.text);
	if (t)
		session_end_target(s, t);
	return NULL;
}

bool session_shows_target(const struct session *s, const struct session_target *t)
{
	return t->resolved->runtimes.n && (t->slot || !s->attach);
}

void session_end_target(struct session *s, struct session_target *t)
{
	bool execed;

	if (session_target_ended(t))
		return;
	execed = t->phase == TARGET_EXECED;
	t->phase = TARGET_ENDED;
	t->ended_ns = clock_ns(CLOCK_MONOTONIC);
	t->exit_status = execed ? -1 : proc_exit_status(t->pid_fd, t->target->pid);
	if (session_shows_target(s, t) && !execed)
		sinks_on_target_end(s, t->target->pid, t->exit_status);
	if (s->epoll_fd >= 0)
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, t->pid_fd, NULL);
	close(t->pid_fd);
	t->pid_fd = -1;
	memread_end_process(&t->mem);
	if (!t->slot && shed(s, t))
		log_warn("out of memory");
}

/* What another pass over the target finds that the first did not: modules, states, allocators. */
int session_rescan_target(struct session *s, struct session_target *t)
{
	struct errmsg err;
	struct plan *plan = NULL;
	size_t runtimes = t->resolved->runtimes.n;
	int rc;

	if (session_target_ended(t) || target_refresh(t->target, &err))
		return 0; /* it is ending */
	session_on_modules(s, t);
	rc = resolve_modules(t->resolved, t->target, &t->mem);
	if (rc || (t->resolved->runtimes.n == runtimes && t->plan->sites.n))
		return rc;
	rc = plan_build(t->resolved, &s->features, &plan, &err);
	if (!rc)
		rc = session_enter_states(s, t);
	if (!rc) {
		session_ask_labels(t, plan);
		rc = attach_plan(s->attach, t->slot, t->target->pid, plan, &err);
	}
	if (rc == -ENOMEM) {
		plan_free(plan);
		return rc;
	}
	if (rc)
		log_warn("new libraries of process %d are not traced: %s", t->target->pid, err.text);
	plan_take_blind_spots(plan, t->plan);
	plan_free(t->plan);
	t->plan = plan;
	session_watch_copies(s, t);
	return 0;
}

void session_watch_libraries(struct session *s)
{
	vec_each(t, &s->targets.all) {
		uint64_t now;

		if (session_target_ended(t) || t->held) /* a held one tells by itself */
			continue;
		now = proc_library_kib(t->target->pid);
		if (now == t->library_kib)
			continue;
		t->library_kib = now;
		if (session_rescan_target(s, t))
			log_warn("out of memory");
	}
}

/* Slots and states to be given back, as the purge of the ledger wants them. */
static bool gone_block(uint32_t slot, uint32_t state, void *ctx)
{
	const struct session *s = ctx;
	uint32_t n;
	const struct lmt_state *table = live_states(s->live, &n);

	slot %= LMT_SLOT_MAX; /* also of what C code took; see LMT_C_KEY */
	if (s->targets.of_slot[slot] && session_target_ended(s->targets.of_slot[slot]))
		return true;
	return state < n && LMT_ARENA_GONE(table[state].flags);
}

/* The state's last figures stay in the heap; its entries in the BPF tables are wiped. */
static int forget_state(struct session *s, uint32_t index)
{
	uint32_t n;
	const struct lmt_state *st = &live_states(s->live, &n)[index];

	live_forget_owner(s->live, st->slot, st->g, index);
	live_forget_owner(s->live, st->slot, st->block, index);
	live_forget_owner(s->live, st->slot, st->ud, index);
	gcpoll_remove(&s->gc, index);
	return heap_end_state(&s->heap, index);
}

/* Those of states that are forgotten; one pass for all. */
static void forget_sites(struct session *s, const bool *forgotten, uint32_t n_states)
{
	uint32_t n_sites, n_stacks;
	const struct lmt_site *sites = live_sites(s->live, &n_sites);

	live_stacks(s->live, &n_stacks); /* they follow the sites */
	for (uint32_t i = 1; i < n_sites + n_stacks; i++) {
		if (!sites[i].key || sites[i].state >= n_states || !forgotten[sites[i].state])
			continue;
		heap_forget_site(&s->heap, i);
		live_wipe_site(s->live, i);
	}
}

#define RETIRE_STATES 512 /* closed states without blocks, before it is worth a pass */

static bool has_left(const struct snapshot_state *st, uint64_t now_ns)
{
	return st->st.flags & (LMT_STATE_DEAD | LMT_STATE_CLOSING) && !st->live_blocks &&
	       st->st.close_ns + 1000000000u < now_ns;
}

static bool of_ended_target(struct session *s, const struct snapshot_state *st)
{
	const struct session_target *t =
		st->st.slot < LMT_SLOT_MAX ? s->targets.of_slot[st->st.slot] : NULL;

	return t && session_target_ended(t);
}

static int forget_states(struct session *s, const struct snapshot *snap)
{
	uint32_t n;
	auto_free bool *forgotten = NULL;
	int rc = 0;

	live_states(s->live, &n);
	forgotten = calloc(n, sizeof(*forgotten));
	if (!forgotten)
		return -ENOMEM;
	vec_each(st, &snap->states) {
		if (rc || (!has_left(st, snap->start_ns) && !of_ended_target(s, st)))
			continue;
		rc = forget_state(s, st->index);
		forgotten[st->index] = true;
	}
	forget_sites(s, forgotten, n);
	for (uint32_t i = 1; i < n; i++)
		if (forgotten[i])
			attach_recycle_state(s->attach, i);
	return rc;
}

/*
 * The last report keeps to the limit of closed states too, whenever the latest look was. The ring
 * was drained, so nothing of them is to come.
 */
int session_sum_up(struct session *s, const struct snapshot *snap)
{
	int rc = 0;

	vec_each(st, &snap->states)
		if (!rc && st->st.flags & (LMT_STATE_DEAD | LMT_STATE_CLOSING) && !st->live_blocks)
			rc = heap_end_state(&s->heap, st->index);
	return rc;
}

int session_retire(struct session *s, const struct snapshot *snap)
{
	size_t ended = 0, closed = 0;
	int rc;

	vec_each(t, &s->targets.all)
		ended += t->phase == TARGET_ENDED && t->slot;
	vec_each(st, &snap->states)
		closed += has_left(st, snap->start_ns);
	if (!ended && closed < RETIRE_STATES)
		return 0;
	live_purge(s->live, gone_block, s);
	rc = forget_states(s, snap);
	vec_each(t, &s->targets.all) {
		if (t->phase != TARGET_ENDED || !t->slot)
			continue;
		attach_retire(s->attach, t->slot, t->target->pid, t->plan);
		s->targets.of_slot[t->slot] = NULL;
		rc = rc ? rc : shed(s, t);
	}
	return rc;
}
