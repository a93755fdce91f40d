/* SPDX-License-Identifier: MIT */
#include "census.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "anchors.h"
#include "base/clock.h"
#include "base/log.h"
#include "discover/headroom.h"
#include "window.h"

#define SMALL_PROCESS (64ull << 20) /* bytes that may be copied without asking what they are */
#define MANY_BYTES (256ull << 20) /* takes long enough to say something meanwhile */
#define IDLE_TRIES 3
#define RUNNING_TRIES 20  /* when it may not be stopped */
#define STOP_TRIES 8
#define ALIKE_TRIES 2     /* besides the first */
#define LATE_TRIES 3      /* of these, that may take longer than promised for a copy */
#define IDLE_WAIT_MS 40   /* for a moment in which all threads sleep */
#define LARGE_BLOCK (64u << 10) /* may have pages that were never touched */
#define HEAD_BYTES 160    /* of global_State: all that an allocation or a collection changes */
#define MARGIN 200        /* the last resort for PUC too: one part in so many may be off */
#define LOOSE_MARGIN 50   /* …and where many objects are asked for, of which a few may be told wrongly */

void census_init(struct census *c, const struct target *t, const struct memread *mem,
		 const struct resolved *r, const struct census_options *opt)
{
	*c = (struct census){ .target = t, .mem = mem, .resolved = r, .opt = opt };
	copier_init(&c->copier, t->pid, mem, opt->pause_budget_ns);
}

void census_deinit(struct census *c)
{
	vec_each(s, &c->states) {
		vec_deinit(&s->groups);
		vec_deinit(&s->holders);
		vec_deinit(&s->findings);
		vec_deinit(&s->stacks);
	}
	vec_deinit(&c->states);
	copier_deinit(&c->copier);
	strpool_free(c->pool);
	c->pool = NULL;
}

/* Of a block that is one piece, what the process has no memory for. */
static uint64_t absent(const struct census *c, const struct walk *w, const struct census_object *o)
{
	uint64_t bytes = walk_bytes(w, o);

	if (bytes < LARGE_BLOCK || (o->kind != CENSUS_USERDATA && o->kind != CENSUS_STRING &&
				    o->kind != CENSUS_CDATA))
		return 0;
	return bytes - window_resident(c->mem, o->uaddr, o->uaddr + bytes);
}

/* What is told without looking at who holds what. */
static void look_at(struct census *c, struct census_state *s, const struct walk *w)
{
	s->row = w->row;
	s->stopped = c->copier.stopped;
	s->vm_bytes = w->vm_bytes;
	s->difference = walk_difference(w);
	s->objects = w->n;
	s->label = census_label(c, w);
	memcpy(s->part_bytes, w->part_bytes, sizeof(s->part_bytes));
	s->coroutines = 0;
	s->absent_bytes = 0;
	for (uint32_t i = 0; i < w->n; i++) {
		s->absent_bytes += absent(c, w, &w->obj[i]);
		s->coroutines += w->obj[i].kind == CENSUS_THREAD && w->obj[i].uaddr != w->L;
	}
}

/* All that is told of a state, out of a walk that added up. */
static int look_into(struct census *c, struct census_state *s, struct walk *w)
{
	struct reach r;
	uint64_t start = cpu_ns();
	int rc;

	s->stacks.n = 0;
	look_at(c, s, w);
	s->done = c->opt->light;
	if (s->done)
		return 0;
	rc = reach_build(&r, w);
	s->reach_ns = cpu_ns() - start;
	start = cpu_ns();
	if (c->opt->n_asks) {
		if (!rc)
			rc = census_answer_asks(c, s, &r);
		s->done = !rc;
		reach_deinit(&r);
		return rc;
	}
	if (!rc)
		rc = census_group(c, s, &r);
	if (!rc && c->opt->folded)
		rc = census_fold(c, s, &r);
	if (!rc)
		rc = census_find(c, s, &r);
	s->group_ns = cpu_ns() - start;
	start = cpu_ns();
	if (!rc)
		rc = census_hold(c, s, &r);
	s->retained_ns = cpu_ns() - start;
	s->done = !rc;
	log_debug("%u objects: walked in %.0f ms, paths %.0f ms, groups and findings %.0f ms, "
		  "what each retains %.0f ms", w->n, (double)s->walk_ns / 1e6, (double)s->reach_ns / 1e6,
		  (double)s->group_ns / 1e6, (double)s->retained_ns / 1e6);
	reach_deinit(&r);
	return rc;
}

static void refuse(struct census *c, struct census_state *s, const struct walk *w)
{
	char text[200];

	if (w->torn)
		snprintf(text, sizeof(text), "%s (at 0x%llx)", w->torn_why,
			 (unsigned long long)w->torn_uaddr);
	else
		snprintf(text, sizeof(text),
			 "what was found and the VM's own total differ by %lld of %llu bytes",
			 (long long)walk_difference(w), (unsigned long long)w->vm_bytes);
	s->refused = strpool_add(c->pool, text);
	log_debug("a copy was refused: %s", text);
}

/* A last try accepts what nearly adds up: an allocation was on its way in that very moment. */
static bool nearly_adds_up(const struct walk *w, unsigned int margin)
{
	int64_t diff = walk_difference(w);

	return !w->torn && w->obj && (uint64_t)(diff < 0 ? -diff : diff) <= w->vm_bytes / margin;
}

/*
 * A copy of a running heap whose lists are whole and whose sum is nearly right lacks a few of the
 * references that were just made, and has a few that were just dropped. Who asks for many objects, time
 * and again, can do with it where the process may not be stopped for long enough.
 */
static bool is_loose(const struct census *c)
{
	return c->opt->n_asks && c->not_stopped && !c->copier.im.sparse;
}

static int try_row(struct census *c, struct census_state *s, const struct layout *row, bool last)
{
	const struct resolved_state *rs = &c->resolved->states.v[s->index];
	struct walk w;
	uint64_t start = cpu_ns(), misses = c->copier.im.misses;
	int rc = walk_heap(&w, &c->copier.im, &c->copier.maps, row, rs->L, rs->G);

	s->walk_ns = cpu_ns() - start;
	if (rc == -EBADMSG && last && nearly_adds_up(&w, is_loose(c) ? LOOSE_MARGIN : MARGIN))
		rc = 0;
	if (!rc)
		rc = look_into(c, s, &w);
	else if (rc == -EBADMSG)
		refuse(c, s, &w);
	if (!rc && c->copier.im.misses != misses) {
		s->done = false;
		s->refused = strpool_add(c->pool, "parts of the heap were not in the copy");
		rc = -EBADMSG;
	}
	walk_deinit(&w);
	return rc;
}

/* Under the row that was chosen; where none was, the sum is the judge of those that fit. */
static int try_state(struct census *c, struct census_state *s, bool last)
{
	const struct resolved_state *rs = &c->resolved->states.v[s->index];
	struct lua_state st;
	int rc = rs->layout ? try_row(c, s, rs->layout, last) : -EBADMSG;
	uint32_t refused = s->refused;

	if (rc != -EBADMSG || !states_check(&c->copier.maps, c->mem, rs->L, rs->G, &st))
		return rc;
	for (size_t i = 0; rc == -EBADMSG && i < st.n_rows; i++)
		if (st.rows[i] != rs->layout)
			rc = try_row(c, s, st.rows[i], false);
	if (rc == -EBADMSG && rs->layout)
		s->refused = refused; /* what is wrong by the layout that it has */
	return rc;
}

/* The heads of all states, before and after a copy: unchanged means no allocation in between. */
static void read_heads(struct census *c, uint8_t *heads)
{
	memset(heads, 0, c->states.n * HEAD_BYTES);
	for (size_t i = 0; i < c->states.n; i++)
		memread_exact(c->mem, c->resolved->states.v[c->states.v[i].index].G,
			      heads + i * HEAD_BYTES, HEAD_BYTES);
}

/* What is wrong in the same place of a target at rest, time and again, is wrong in the target. */
static bool is_hopeless(const struct census_state *s)
{
	return s->alike >= ALIKE_TRIES;
}

/* Has it had the time it may take? */
static bool is_late(const struct census *c)
{
	return c->opt->cpu_budget_ns && cpu_ns() - c->begun_cpu_ns > c->opt->cpu_budget_ns;
}

static unsigned int left_to_do(const struct census *c)
{
	unsigned int n = 0;

	if (is_late(c))
		return 0;
	vec_each(s, &c->states)
		n += !s->done && !s->gone && !is_hopeless(s);
	return n;
}

static int try_states(struct census *c, const uint8_t *before, const uint8_t *after, bool last)
{
	for (size_t i = 0; i < c->states.n; i++) {
		struct census_state *s = &c->states.v[i];
		uint32_t refused = s->refused;
		int rc;

		if (s->done || s->gone || is_hopeless(s) || is_late(c))
			continue;
		if (!c->copier.still && before &&
		    memcmp(before + i * HEAD_BYTES, after + i * HEAD_BYTES, HEAD_BYTES)) {
			s->refused = strpool_add(c->pool, "it was running while it was copied");
			continue;
		}
		/* One that others have stopped may stand between taking a block and counting it. */
		rc = try_state(c, s, last || (c->copier.held && s->alike + 1 == ALIKE_TRIES));
		s->alike = c->copier.still && s->refused == refused ? s->alike + 1 : 0;
		if (rc && rc != -EBADMSG)
			return rc;
	}
	return 0;
}

static void touch(void *ctx, uint64_t to, enum edge edge, uint64_t key)
{
	struct walk *w = ctx;

	(void)key;
	if (edge == EDGE_FIELD || edge == EDGE_NAME)
		image_at(w->im, key, 16);
	image_at(w->im, to, 16);
}

/*
 * Walks each state's heap in the running process, only to learn which memory is Lua's. What it
 * finds may be wrong; a part that was missed shows later, and is learned then.
 */
static int learn(struct census *c, struct errmsg *err)
{
	int rc = copier_learn(&c->copier, err);

	vec_each(s, &c->states) {
		const struct resolved_state *rs = &c->resolved->states.v[s->index];
		struct walk w;
		struct edges e;
		const struct edge_sink sink = { .ctx = &w, .edge = touch };

		if (rc || s->done || s->gone || !rs->layout || is_late(c))
			continue;
		rc = walk_heap(&w, &c->copier.im, &c->copier.maps, rs->layout, rs->L, rs->G);
		edges_init(&e, &w);
		for (uint32_t i = 0; w.obj && i < w.n; i++)
			edges_of(&e, &w.obj[i], &sink);
		edges_deinit(&e);
		if (!rc && !c->opt->light)
			look_into(c, s, &w); /* touches what that needs: names, texts, stacks */
		s->done = false;
		rc = rc == -EBADMSG ? 0 : rc;
		walk_deinit(&w);
	}
	copier_learned(&c->copier);
	return rc;
}

static uint64_t lua_bytes(const struct census *c)
{
	uint64_t lua = 0;

	vec_each(s, &c->resolved->states) {
		struct state_gc now; /* resolved may be long ago */

		lua += s->layout && states_read_gc(c->mem, &s->layout->l, s->G, &now) ? now.heap_bytes
										  : s->gc.heap_bytes;
	}
	return lua;
}

/* Where memory runs out the kernel kills the largest process, which may be the one we look at. */
static int enough_room(const struct census *c, uint64_t size, uint64_t lua, struct errmsg *err)
{
	uint64_t need = (c->sparse ? lua : size) + lua + lua / 5, room = headroom_bytes(""); /* docs/PERFORMANCE.md */

	if (need <= room / 4 * 3)
		return 0;
	return errmsg_set(err, -EFBIG, "the heap of process %d is not copied: that may take %llu MiB of memory, and "
			  "%llu are free here; make room, or raise the limit of our cgroup", c->target->pid,
			  (unsigned long long)(need >> 20), (unsigned long long)(room >> 20));
}

/* What is there to copy, and may it be? Where most of it is not Lua's copying all would be rude. */
static int look_at_size(struct census *c, struct errmsg *err)
{
	uint64_t size = copier_size(&c->copier), lua = lua_bytes(c);

	c->sparse = size > 3 * lua + SMALL_PROCESS;
	if (size > MANY_BYTES && !c->opt->light)
		log_info("looking at %llu MiB of process %d%s", (unsigned long long)(size >> 20), c->target->pid,
			 c->sparse ? ", most of it not Lua's" : "");
	return enough_room(c, size, lua, err);
}

/* False: a copy would not be whole now. */
static bool read_anchors(struct census *c, struct anchors *a)
{
	vec_each(s, &c->states)
		if (!s->done && !s->gone && !anchors_read(a, c->mem, &c->resolved->states.v[s->index]))
			return false;
	return true;
}

static int attempt_loose(struct census *c, struct errmsg *err)
{
	struct anchors a = { 0 };
	bool read = read_anchors(c, &a);
	int rc = read ? copier_take_running(&c->copier, 0, err) : 0;

	if (!rc && read && anchors_lay(&a, &c->copier.im))
		rc = try_states(c, NULL, NULL, true);
	anchors_deinit(&a);
	return rc;
}

static int attempt_running(struct census *c, bool last, struct errmsg *err)
{
	uint8_t *before = calloc(c->states.n, HEAD_BYTES), *after = calloc(c->states.n, HEAD_BYTES);
	int rc = before && after ? 0 : errmsg_set(err, -ENOMEM, "out of memory");

	if (!rc && c->sparse)
		rc = learn(c, err);
	if (!rc)
		read_heads(c, before);
	if (!rc)
		rc = copier_take_running(&c->copier, IDLE_WAIT_MS, err);
	if (!rc) {
		read_heads(c, after);
		rc = try_states(c, before, after, last);
		if (rc)
			errmsg_set(err, rc, "out of memory");
	}
	free(before);
	free(after);
	return rc;
}

static int attempt_stopped(struct census *c, bool last, struct errmsg *err)
{
	int rc = copier_take_stopped(&c->copier, err);

	if (rc)
		return rc;
	rc = try_states(c, NULL, NULL, last);
	return rc ? errmsg_set(err, rc, "out of memory") : 0;
}

/* A state that was closed meanwhile is no state that could not be counted. */
static void note_gone(struct census *c)
{
	struct proc_maps maps = { 0 }; /* its heap may have grown into new memory since the copy */

	if (proc_read_maps(c->target->pid, &maps))
		return;
	vec_each(s, &c->states) {
		const struct resolved_state *rs = &c->resolved->states.v[s->index];
		struct lua_state st;

		if (!s->done && !states_check(&maps, c->mem, rs->L, rs->G, &st))
			s->gone = true;
	}
	proc_maps_deinit(&maps);
}

static int stop_and_try(struct census *c, struct errmsg *err)
{
	uint64_t budget = c->opt->pause_budget_ns;
	struct errmsg why;
	int rc = 0, late = 0;

	c->estimate_ns = copier_estimate_ns(&c->copier);
	log_info("copying %llu MiB may stop it for about %.0f ms",
		 (unsigned long long)(c->copier.bytes >> 20), (double)c->estimate_ns / 1e6);
	if (c->estimate_ns > budget) {
		snprintf(c->not_stopped_text, sizeof(c->not_stopped_text),
			 "it would have to be stopped for about %.0f ms, and may be for %.0f: raise "
			 "--pause-budget", (double)c->estimate_ns / 1e6, (double)budget / 1e6);
		c->not_stopped = c->not_stopped_text;
		return 0;
	}
	for (int i = 0; i < STOP_TRIES && left_to_do(c); i++) {
		rc = attempt_stopped(c, i == STOP_TRIES - 1, &why);
		if (rc == -ENOMEM || rc == -ESRCH)
			return errmsg_set(err, rc, "%s", why.text);
		if (rc) {
			snprintf(c->not_stopped_text, sizeof(c->not_stopped_text), "%s", why.text);
			c->not_stopped = c->not_stopped_text;
		}
		if (rc == -EPERM || (rc == -ETIME && ++late == LATE_TRIES))
			return 0;
		note_gone(c);
		if (left_to_do(c))
			nanosleep(&(struct timespec){ .tv_nsec = 3000000 + 1700000 * i }, NULL);
	}
	return 0;
}

/* Nothing could be told of the process: because it is not there any more, or not as it was? */
static int still_there(const struct census *c, struct errmsg *err)
{
	const struct module *m = c->target->modules.n ? c->target->modules.v : NULL;
	struct proc_maps maps = { 0 };
	const struct proc_map *map;
	int rc = proc_read_maps(c->target->pid, &maps);

	map = !rc && m ? proc_find_map(&maps, m->start) : NULL;
	if (rc || !maps.maps.n)
		rc = errmsg_set(err, -ESRCH, "process %d has ended", c->target->pid);
	else if (m && (!map || map->inode != m->inode))
		rc = errmsg_set(err, -ESRCH, "process %d has started another program meanwhile",
				c->target->pid);
	proc_maps_deinit(&maps);
	return rc;
}

static bool is_any_done(const struct census *c)
{
	vec_each(s, &c->states)
		if (s->done)
			return true;
	return false;
}

int census_take(struct census *c, struct errmsg *err)
{
	bool may_stop = c->opt->pause_budget_ns > 0;
	int rc = 0;

	c->begun_cpu_ns = cpu_ns();
	c->pool = strpool_new();
	if (!c->pool)
		return errmsg_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < c->resolved->states.n; i++)
		if ((!c->opt->only_state || c->opt->only_state == i + 1) &&
		    (!c->opt->n_asks || census_asks_of(c, c->resolved->states.v[i].G)) &&
		    vec_push(&c->states, (struct census_state){ .index = i }))
			return errmsg_set(err, -ENOMEM, "out of memory");
	if (may_stop) /* before this process is large: a fork copies what it has */
		rc = stopper_start(&c->copier.stopper, c->target->pid, err);
	if (!rc)
		rc = look_at_size(c, err);
	for (int i = 0; !rc && i < IDLE_TRIES && left_to_do(c); i++)
		rc = attempt_running(c, false, err);
	if (!rc && left_to_do(c))
		note_gone(c);
	if (!rc && may_stop && left_to_do(c))
		rc = stop_and_try(c, err);
	for (int i = 0; !rc && !c->opt->light && i < RUNNING_TRIES && left_to_do(c) && (!may_stop || c->not_stopped); i++) {
		rc = is_loose(c) && i % 4 ? attempt_loose(c, err) : attempt_running(c, i == RUNNING_TRIES - 1, err);
		note_gone(c);
	}
	c->copied_bytes = c->copier.bytes;
	census_drop_answers(c);
	return rc || is_any_done(c) ? rc : still_there(c, err);
}
