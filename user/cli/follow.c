/* SPDX-License-Identifier: MIT */
/*
 * Processes that may become targets. A process that was just started maps its libraries only in
 * the next milliseconds, and may load Lua as a plug-in much later: it is looked at soon, and then
 * ever more rarely.
 */
#include "session.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define MS 1000000ull
#define SWEEP_NS (2000 * MS)
#define TRIES_OF_A_CHILD 3

static const uint64_t delays_ns[] = { 10 * MS, 20 * MS, 100 * MS, 500 * MS, 2000 * MS, 5000 * MS,
				      10000 * MS };
#define N_DELAYS (sizeof(delays_ns) / sizeof(delays_ns[0]))

void follow_deinit(struct follow *f)
{
	vec_deinit(&f->list);
	hashmap_deinit(&f->by_pid);
}

bool follow_wanted(const struct session *s)
{
	return s->opt->all || s->opt->name || s->opt->cgroup;
}

static bool selected(const struct session *s, pid_t pid)
{
	struct proc_info info;

	if (!s->opt->name && !s->opt->cgroup)
		return true;
	return !proc_read_info(pid, &info) && (!s->opt->name || !strcmp(info.comm, s->opt->name)) &&
	       (!s->opt->cgroup || proc_in_cgroup(pid, s->opt->cgroup));
}

static struct candidate *find(struct follow *f, pid_t pid)
{
	uint64_t *at = hashmap_find(&f->by_pid, (uint64_t)pid);

	return at && *at ? &f->list.v[*at - 1] : NULL;
}

static void drop(struct follow *f, struct candidate *c)
{
	struct candidate *last = &f->list.v[f->list.n - 1];
	uint64_t *at = hashmap_find(&f->by_pid, (uint64_t)c->pid);

	if (at)
		*at = 0;
	if (c != last) {
		*c = *last;
		at = hashmap_find(&f->by_pid, (uint64_t)c->pid);
		if (at)
			*at = (uint64_t)(c - f->list.v) + 1;
	}
	f->list.n--;
}

void follow_add(struct session *s, pid_t pid, uint64_t delay_ns, bool once)
{
	struct candidate fresh = { .pid = pid, .due_ns = clock_ns(CLOCK_MONOTONIC) + delay_ns, .once = once,
				   .seen = true };
	struct candidate *c = find(&s->follow, pid);
	uint64_t *at;

	if (c) { /* it runs another program now: begin again */
		c->due_ns = fresh.due_ns;
		c->tries = 0;
		return;
	}
	at = hashmap_get_or_add(&s->follow.by_pid, (uint64_t)pid);
	if (!at || vec_push(&s->follow.list, fresh)) {
		log_warn("out of memory: process %d is not looked at", pid);
		return;
	}
	*at = s->follow.list.n;
}

static int on_pid(pid_t pid, void *ctx)
{
	struct session *s = ctx;
	struct candidate *c = find(&s->follow, pid);
	const struct session_target *t = session_target_of_pid(s, pid);

	if (c)
		c->seen = true;
	else if (pid != getpid() && (!t || t->ended))
		follow_add(s, pid, 0, false);
	return 0;
}

/* New processes come in, ended ones go. */
static void sweep(struct session *s)
{
	vec_each(c, &s->follow.list)
		c->seen = c->once;
	proc_each(on_pid, s);
	for (size_t i = 0; i < s->follow.list.n;) {
		if (s->follow.list.v[i].seen)
			i++;
		else
			drop(&s->follow, &s->follow.list.v[i]);
	}
}

enum look { NOT_YET, NEVER, TRACED };

/* Has it become a process with Lua that was asked for? */
static enum look look_at(struct session *s, const struct candidate *c)
{
	const struct session_target *known = session_target_of_pid(s, c->pid);
	struct target *t;
	struct errmsg err;
	enum look found = NOT_YET;

	if (known && !known->ended)
		return TRACED;
	if (!c->once && !selected(s, c->pid))
		return NOT_YET; /* its name may change */
	if (target_open(c->pid, &t, &err))
		return NOT_YET; /* ended, a kernel thread, or not ours to read */
	if (resolve_has_lua(t, &s->files))
		found = session_add_target(s, c->pid, false) ? TRACED : NEVER;
	target_free(t);
	return found;
}

void follow_run(struct session *s)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (follow_wanted(s) && now >= s->follow.next_sweep_ns) {
		sweep(s);
		s->follow.next_sweep_ns = now + SWEEP_NS;
	}
	for (size_t i = 0; i < s->follow.list.n;) {
		struct candidate *c = &s->follow.list.v[i];
		enum look found;

		if (c->due_ns > now) {
			i++;
			continue;
		}
		found = look_at(s, c);
		c->tries++;
		if (found == TRACED || (c->once && c->tries >= TRIES_OF_A_CHILD)) {
			drop(&s->follow, c);
			continue;
		}
		c->due_ns = now + delays_ns[c->tries < N_DELAYS ? c->tries : N_DELAYS - 1] *
			    (found == NEVER ? 6 : 1);
		i++;
	}
}

int follow_sweep(struct session *s, struct errmsg *err)
{
	sweep(s);
	s->follow.next_sweep_ns = clock_ns(CLOCK_MONOTONIC) + SWEEP_NS;
	for (size_t i = 0; i < s->follow.list.n;) {
		struct candidate *c = &s->follow.list.v[i];
		struct target *t;
		struct errmsg why;
		int rc = -ESRCH;

		if (selected(s, c->pid) && !target_open(c->pid, &t, &why)) {
			if (resolve_has_lua(t, &s->files))
				rc = session_open_target(s, c->pid, false, NULL, &why);
			target_free(t);
		}
		if (rc == -ENOMEM)
			return errmsg_set(err, rc, "out of memory");
		if (!rc)
			drop(&s->follow, c);
		else
			i++;
	}
	return 0;
}
