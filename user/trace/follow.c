/* SPDX-License-Identifier: MIT */
/*
 * Processes that may become targets. A process that was just started maps its libraries only in
 * the next milliseconds, and may load Lua as a plug-in much later: it is looked at soon, and then
 * ever more rarely.
 */
#include "follow.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "session.h"

#define COMM_LETTERS 15
#define MS 1000000ull
#define SWEEP_NS (2000 * MS)
#define LOOK_DELAY_NS (5 * MS) /* a program maps its libraries first */
#define TRIES_OF_A_CHILD 3
#define UNSEEN_NAMES 64
#define UNSEEN_SHOWN 5

/* Of a program that runs Lua: it maps its libraries in its first milliseconds. */
static const uint64_t hasty_ns[] = { 1 * MS, 1 * MS, 1 * MS, 2 * MS, 2 * MS, 4 * MS, 4 * MS, 8 * MS,
				     20 * MS, 100 * MS };
#define N_HASTY (sizeof(hasty_ns) / sizeof(hasty_ns[0]))

static const uint64_t delays_ns[] = { 10 * MS, 20 * MS, 100 * MS, 500 * MS, 2000 * MS, 5000 * MS,
				      10000 * MS };
#define N_DELAYS (sizeof(delays_ns) / sizeof(delays_ns[0]))

void follow_deinit(struct follow *f)
{
	vec_deinit(&f->list);
	vec_deinit(&f->unseen);
	hashmap_deinit(&f->by_pid);
}

bool follow_wanted(const struct session *s)
{
	return s->cfg.all || s->cfg.name || s->cfg.cgroup;
}

/* The kernel keeps the first 15 letters of a process' name. */
static bool has_name(const char *comm, const char *name)
{
	return !strncmp(comm, name, COMM_LETTERS);
}

static bool selected(const struct session *s, pid_t pid)
{
	struct proc_info info;

	if (!s->cfg.name && !s->cfg.cgroup)
		return true;
	return !proc_read_info(pid, &info) && (!s->cfg.name || has_name(info.comm, s->cfg.name)) &&
	       (!s->cfg.cgroup || proc_in_cgroup(pid, s->cfg.cgroup));
}

static struct candidate *find(struct follow *f, pid_t pid)
{
	uint64_t *at = hashmap_lookup(&f->by_pid, (uint64_t)pid);

	return at && *at ? &f->list.v[*at - 1] : NULL;
}

static void drop(struct follow *f, struct candidate *c)
{
	struct candidate *last = &f->list.v[f->list.n - 1];
	uint64_t *at = hashmap_lookup(&f->by_pid, (uint64_t)c->pid);

	f->n_likely -= c->likely;
	if (at)
		*at = 0;
	if (c != last) {
		*c = *last;
		at = hashmap_lookup(&f->by_pid, (uint64_t)c->pid);
		if (at)
			*at = (uint64_t)(c - f->list.v) + 1;
	}
	f->list.n--;
}

void follow_add(struct session *s, pid_t pid, uint64_t delay_ns, bool once)
{
	struct candidate fresh = { .pid = pid,
				   .due_ns = clock_ns(CLOCK_MONOTONIC) + delay_ns,
				   .once = once,
				   .seen = true };
	struct candidate *c = find(&s->follow, pid);
	uint64_t *at;

	if (c)
		return;
	at = hashmap_get_or_add(&s->follow.by_pid, (uint64_t)pid);
	if (!at || vec_push(&s->follow.list, fresh)) {
		log_warn("out of memory: process %d is not looked at", pid);
		return;
	}
	*at = s->follow.list.n;
}

void follow_child(struct session *s, const struct session_target *parent, pid_t pid)
{
	struct candidate *c;

	follow_add(s, pid, FORK_DELAY_NS, true);
	c = find(&s->follow, pid);
	if (!c || c->likely || !follow_wanted(s)) /* else nobody tells us when it execs */
		return;
	c->likely = true;
	s->follow.n_likely++;
	snprintf(c->comm, sizeof(c->comm), "%.15s", parent->target->info.comm);
}

void follow_exec(struct session *s, const struct lmt_event *e)
{
	const uint64_t comm[2] = { e->arg0, e->arg1 };
	struct candidate *c;

	follow_add(s, (pid_t)e->tgid, 0, false);
	c = find(&s->follow, (pid_t)e->tgid);
	if (!c)
		return;
	s->follow.n_likely -= c->likely;
	memcpy(c->comm, comm, sizeof(c->comm) - 1);
	c->likely = s->cfg.name ? has_name(c->comm, s->cfg.name) : e->state != 0;
	s->follow.n_likely += c->likely;
	c->looked_at = false;
	c->once = false; /* it may load Lua later */
	c->due_ns = clock_ns(CLOCK_MONOTONIC) + (c->likely ? 0 : LOOK_DELAY_NS);
	c->tries = 0;
}

/* It has ended, and nobody had a look at it. */
static void note_unseen(struct session *s, const struct candidate *c)
{
	struct unseen fresh = { .likely = c->likely, .n = 1 };
	struct follow *f = &s->follow;

	/*
	 * Whether it was in the cgroup is not known; what a process runs for a moment is not asked
	 * for.
	 */
	if (!*c->comm || s->cfg.cgroup ||
	    (!c->likely && (c->looked_at || s->cfg.name || s->cfg.n_pids)))
		return;
	vec_each(u, &f->unseen) {
		if (u->likely != c->likely ||
		    (strcmp(u->comm, c->comm) && f->unseen.n < UNSEEN_NAMES))
			continue;
		u->n++;
		return;
	}
	memcpy(fresh.comm, c->comm, sizeof(fresh.comm));
	if (vec_push(&f->unseen, fresh))
		log_debug("out of memory: a process that ended is not counted");
}

uint64_t follow_unseen(const struct follow *f)
{
	uint64_t n = 0;

	vec_each(u, &f->unseen)
		n += u->likely ? u->n : 0;
	return n;
}

/* The most frequent name of a rank: 0 is the most frequent. NULL past the last. */
static const struct unseen *unseen_of_rank(const struct follow *f, bool likely, size_t rank)
{
	vec_each(u, &f->unseen) {
		size_t before = 0;

		vec_each(other, &f->unseen)
			before += other->likely == likely &&
				  (other->n > u->n || (other->n == u->n && other < u));
		if (u->likely == likely && before == rank)
			return u;
	}
	return NULL;
}

bool follow_unseen_text(const struct follow *f, bool likely, char *buf, size_t size)
{
	const struct unseen *u;
	uint64_t left = 0;
	size_t len;

	vec_each(any, &f->unseen)
		left += any->likely == likely ? any->n : 0;
	if (!left)
		return false;
	snprintf(buf, size, likely ? "processes that run Lua, but ended before they could be looked at:"
				   : "whether these ran Lua, which ended before they could be looked at:");
	for (size_t i = 0; i < UNSEEN_SHOWN && (u = unseen_of_rank(f, likely, i)); i++) {
		len = strlen(buf);
		left -= u->n;
		snprintf(buf + len, size - len, "%s %llu of '%s'", i ? "," : "", (unsigned long long)u->n,
			 u->comm);
	}
	len = strlen(buf);
	if (left)
		snprintf(buf + len, size - len, ", %llu others", (unsigned long long)left);
	return true;
}

/*
 * A command's children, whatever they run, may run Lua yet; of others only those not looked at yet.
 */
bool follow_waits(const struct session *s)
{
	if (s->cfg.command)
		return s->follow.list.n;
	vec_each(c, &s->follow.list)
		if (c->once)
			return true;
	return false;
}

int follow_timeout_ms(const struct session *s)
{
	uint64_t now, next = UINT64_MAX;

	if (!s->follow.n_likely)
		return -1;
	now = clock_ns(CLOCK_MONOTONIC);
	vec_each(c, &s->follow.list)
		if (c->likely && c->due_ns < next)
			next = c->due_ns;
	return next <= now ? 0 : next - now > 1000 * MS ? -1 : (int)((next - now) / MS) + 1;
}

static int on_pid(pid_t pid, void *ctx)
{
	struct session *s = ctx;
	struct candidate *c = find(&s->follow, pid);
	const struct session_target *t = session_target_of_pid(s, pid);

	if (c)
		c->seen = true;
	else if (pid != getpid() && (!t || session_target_ended(t)))
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
		struct candidate *c = &s->follow.list.v[i];

		if (c->seen) {
			i++;
			continue;
		}
		note_unseen(s, c);
		drop(&s->follow, c);
	}
}

enum look { NOT_YET, NEVER, TRACED, ENDED };

/* A zombie is not. */
static bool proc_is_there(pid_t pid)
{
	struct proc_info info;

	return proc_read_info(pid, &info) != -ESRCH;
}

/* Has it become a process with Lua that was asked for? */
static enum look look_at(struct session *s, struct candidate *c)
{
	const struct session_target *known = session_target_of_pid(s, c->pid);
	struct target *t;
	struct errmsg err;
	enum look found = NOT_YET;

	if (known && !session_target_ended(known))
		return TRACED;
	if (!c->once && !selected(s, c->pid))
		return !proc_is_there(c->pid) ? ENDED : NOT_YET; /* its name may change */
	if (target_open(c->pid, &t, &err)) /* ended, a kernel thread, or not ours to read */
		return proc_is_there(c->pid) ? NOT_YET : ENDED;
	c->looked_at = true;
	if (resolve_has_lua(t, &s->files))
		found = session_add_target(s, c->pid, false, c->refused) ? TRACED :
			proc_is_there(c->pid)				 ? NEVER : ENDED;
	c->refused = c->refused || found == NEVER;
	target_free(t);
	return found;
}

static uint64_t delay_of(const struct candidate *c, enum look found)
{
	if (c->likely && c->tries < N_HASTY)
		return hasty_ns[c->tries];
	return delays_ns[c->tries < N_DELAYS ? c->tries : N_DELAYS - 1] * (found == NEVER ? 6 : 1);
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
		if (found == ENDED)
			note_unseen(s, c);
		if (found == TRACED || found == ENDED ||
		    (c->once && c->tries >= TRIES_OF_A_CHILD)) {
			drop(&s->follow, c);
			continue;
		}
		c->due_ns = clock_ns(CLOCK_MONOTONIC) + delay_of(c, found);
		i++;
	}
}

void follow_end(struct session *s)
{
	vec_each(c, &s->follow.list)
		if (*c->comm && !proc_is_there(c->pid))
			note_unseen(s, c);
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
