/* SPDX-License-Identifier: MIT */
/*
 * states-not-closed: states are born and forgotten, ever more of them. A pool fills and is full, a
 * state for each connection goes with it: what is told has grown in every quarter of the time.
 */
#include "detect.h"

#define QUARTERS 4
#define LEAST_MS 10000   /* from the first birth on */
#define LEAST_OPEN 8
#define SURE_MS 30000
#define SURE_OPEN 20
#define IDLE_SHARE 0.8   /* of those of the earlier half: nothing runs in them any more */

/* Of the states that a process has made since the attach and that are open. */
struct open_states {
	uint64_t known, bytes;
	uint64_t early, early_idle; /* born in the first half of the time */
};

static uint64_t open_at(const struct creator_process *p, uint64_t ms)
{
	struct pace_point at = pace_at(&p->pace, ms);

	return at.work > at.old_frees ? at.work - at.old_frees : 0;
}

static bool rises(const struct creator_process *p, uint64_t span_ms)
{
	uint64_t before = 0, all = p->born > p->closed ? p->born - p->closed : 0, now = 0;

	if (span_ms < LEAST_MS || all < LEAST_OPEN)
		return false;
	for (unsigned int i = 1; i <= QUARTERS; i++) {
		uint64_t gained;

		now = open_at(p, span_ms * i / QUARTERS);
		gained = now > before ? now - before : 0;
		if (gained * QUARTERS * 3 < all) /* a third of an even share */
			return false;
		before = now;
	}
	return true;
}

static struct open_states look_at(const struct heap *h, const struct creator_process *p,
				  uint64_t span_ms)
{
	uint64_t half_ns = p->first_ns + span_ms * 500000;
	struct open_states ret = { 0 };

	vec_each(st, &h->states) {
		bool open = st->number && !st->closed && !st->ended && st->heap_known;

		if (st->pid != p->pid || !open || st->first_ns < p->first_ns)
			continue;
		ret.known++;
		ret.bytes += st->heap_bytes;
		if (st->first_ns > half_ns)
			continue;
		ret.early++;
		ret.early_idle += !heap_is_active(h, st);
	}
	return ret;
}

/* The place that most of them come from. */
static const struct creator *main_creator(const struct heap *h, pid_t pid)
{
	const struct creator *ret = NULL;

	vec_each(k, &h->creators.v)
		if (k->pid == pid && (!ret || k->born > ret->born))
			ret = k;
	return ret;
}

static const char *text_of(const struct findings *fs, uint32_t id)
{
	return id ? strpool_get(fs->strings, id) : NULL;
}

static void say(struct findings *fs, struct finding *f, const struct creator_process *p,
		const struct creator *k, uint64_t bytes, double per_s)
{
	const char *function = k ? text_of(fs, k->function) : NULL;

	evidence_number(f, "born", p->born);
	evidence_number(f, "closed", p->closed);
	evidence_number(f, "open", p->born - p->closed);
	evidence_number(f, "bytes", bytes);
	evidence_rate(f, "per_s", per_s);
	evidence_text(fs, f, "function", function);
	evidence_text(fs, f, "module", k ? text_of(fs, k->module) : NULL);
	finding_say(fs, f, "ever more Lua states: %llu were made since the attach, %llu closed; "
		    "%.1f more a second stay open, with about %.1f MiB by now%s%s",
		    (unsigned long long)p->born,
		    (unsigned long long)p->closed, per_s, (double)bytes / 1048576,
		    function ? "; most are made by " : "", function ? function : "");
	finding_advise(fs, f, "close each state with lua_close() when it has done its work, "
		       "or use it again");
}

/* What is known of a process that has ended stays. */
static bool has_ended(const struct heap *h, pid_t pid)
{
	bool any = false;

	vec_each(st, &h->states) {
		if (st->pid == pid && !st->ended)
			return false;
		any |= st->pid == pid;
	}
	return any;
}

static void detect_process(struct findings *fs, const struct heap *h,
			   const struct creator_process *p, uint64_t now_ns)
{
	bool begun = p->first_ns && now_ns > p->first_ns;
	uint64_t span_ms = begun ? (now_ns - p->first_ns) / 1000000 : 0;
	uint64_t open = p->born - p->closed;
	const struct creator *k = main_creator(h, p->pid);
	struct open_states seen;
	struct finding *f;
	bool idle, sure;

	if (!rises(p, span_ms)) {
		finding_withdraw(fs, FINDING_STATES_NOT_CLOSED, (uint64_t)p->pid);
		return;
	}
	seen = look_at(h, p, span_ms);
	idle = seen.early && (double)seen.early_idle >= IDLE_SHARE * (double)seen.early;
	f = finding_make(fs, FINDING_STATES_NOT_CLOSED, (uint64_t)p->pid);
	if (!f)
		return;
	f->time_ns = f->time_ns ? f->time_ns : now_ns;
	f->pid = p->pid;
	f->stack = k ? k->stack : 0;
	f->count = open;
	sure = idle && span_ms >= SURE_MS && open >= SURE_OPEN;
	f->severity = sure ? SEVERITY_ERROR : SEVERITY_WARNING;
	f->confidence = sure ? CONFIDENCE_LIKELY : CONFIDENCE_POSSIBLE;
	/* What of them was not met yet is like the others. */
	say(fs, f, p, k, seen.known ? seen.bytes / seen.known * open : 0,
	    (double)open * 1000 / (double)span_ms);
}

void detect_states(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last)
{
	(void)last;
	vec_each(p, &h->creators.processes)
		if (!has_ended(h, p->pid))
			detect_process(fs, h, p, snap->end_ns);
}
