/* SPDX-License-Identifier: MIT */
#include "trigger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/fmt.h"
#include "base/hashmap.h"

struct trigger {
	const struct trigger_kind *kind;
	uint64_t bytes;
	enum finding_kind finding;
	double per_s; /* bytes a second */
	char *word;   /* as it was given */
	bool fired;
};

#define SAMPLES 120
#define SAMPLE_NS 1000000000ull
#define MIN_SAMPLES 6     /* before anything is said about growth */
#define STEADY_SAMPLES 12 /* before small growth is told from the sawtooth of a collected heap */
#define STEADY_CYCLES 2   /* in each half: else what rises is only the way to the next collection */
#define PAUSE_FACTOR 3    /* the default pause lets a heap double between two collections */

/* Heap of one process over the last two minutes. */
struct history {
	struct {
		uint64_t time_ns, low, high, floor, cycles;
	} s[SAMPLES];
	unsigned int n;
};

struct triggers {
	vec_of(struct trigger) v;
	struct hashmap by_pid; /* pid → position + 1 */
	vec_of(struct history) histories;
};

void triggers_free(struct triggers *t)
{
	if (!t)
		return;
	vec_each(one, &t->v)
		free(one->word);
	vec_deinit(&t->v);
	vec_deinit(&t->histories);
	hashmap_deinit(&t->by_pid);
	free(t);
}

/* SIZE/UNIT, with unit s, min or h. */
static bool parse_rate(const char *text, double *ret)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = { { "s", 1 }, { "sec", 1 }, { "min", 60 }, { "m", 60 }, { "h", 3600 } };
	const char *slash = strchr(text, '/');
	auto_free char *size = slash ? strndup(text, (size_t)(slash - text)) : NULL;
	uint64_t bytes;

	if (!size || !fmt_parse_u64(size, INT64_MAX, &bytes))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(slash + 1, units[i].name))
			continue;
		*ret = (double)bytes / units[i].seconds;
		return bytes > 0;
	}
	return false;
}

static bool fire(struct trigger *t, char *why, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static bool fire(struct trigger *t, char *why, size_t size, const char *fmt, ...)
{
	int n = snprintf(why, size, "%s: ", t->word);
	va_list ap;

	t->fired = true;
	va_start(ap, fmt);
	if (n >= 0 && (size_t)n < size)
		vsnprintf(why + n, size - (size_t)n, fmt, ap);
	va_end(ap);
	return true;
}

static uint64_t heap_of(const struct report_state *s)
{
	return s->heap_known ? s->heap_bytes : s->live_bytes;
}

static bool parse_heap(const char *value, struct trigger *t)
{
	return fmt_parse_u64(value, INT64_MAX, &t->bytes) && t->bytes;
}

static bool check_heap(struct triggers *all, struct trigger *t, const struct report *r, char *why,
		       size_t size)
{
	struct fmtbuf b;

	(void)all;
	vec_each(s, &r->states)
		if (s->state && !s->closed_realtime_ns && heap_of(s) > t->bytes)
			return fire(t, why, size, "the heap of state %" PRIu32 " of process %d is %s",
				    s->state, s->pid, fmt_bytes(&b, heap_of(s)));
	return false;
}

static bool parse_finding(const char *value, struct trigger *t)
{
	return finding_kind_find(value, &t->finding);
}

static bool check_finding(struct triggers *all, struct trigger *t, const struct report *r,
			  char *why, size_t size)
{
	(void)all;
	vec_each(f, &r->findings)
		if (f->kind == t->finding ||
		    (t->finding == FINDING_OOM && f->kind == FINDING_OOM_IN_TRACE))
			return fire(t, why, size, "%s", f->message);
	return false;
}

struct span {
	uint64_t low, high, cycles;
	uint64_t floor; /* at its end; 0: not known */
};

static struct span span_of(const struct history *h, unsigned int from, unsigned int to)
{
	struct span s = { .low = UINT64_MAX,
			  .cycles = h->s[to - 1].cycles - h->s[from].cycles,
			  .floor = h->s[to - 1].floor };

	for (unsigned int i = from; i < to; i++) {
		if (h->s[i].low < s.low)
			s.low = h->s[i].low;
		if (h->s[i].high > s.high)
			s.high = h->s[i].high;
	}
	return s;
}

/*
 * A collected heap is a sawtooth, and the way up a tooth is no growth. With several collections in
 * each half of the history its low points tell; with few, its size after the first and after the
 * latest; with none, only what the collector's pause cannot explain. Bytes, 0: does not grow.
 */
static uint64_t growth_of(const struct history *h, const struct span *a, const struct span *b)
{
	uint64_t floor = 0, tooth;

	for (unsigned int i = 0; i < h->n && !floor; i++)
		floor = h->s[i].floor;
	if (a->cycles >= STEADY_CYCLES && b->cycles >= STEADY_CYCLES) {
		if (h->n < STEADY_SAMPLES && b->low <= a->high)
			return 0;
		return b->low > a->low + (a->high - a->low) / 8 ? b->low - a->low : 0;
	}
	if (a->cycles + b->cycles && floor && b->floor > floor) {
		tooth = (a->high > b->high ? a->high : b->high) - floor;
		return b->floor - floor > tooth / 4 ? (b->floor - floor) / 2 : 0;
	}
	return b->low > a->high && b->high / PAUSE_FACTOR >= a->low ? b->low - a->low : 0;
}

static double rate_of(const struct history *h)
{
	unsigned int half = h->n / 2;
	struct span a, b;
	double seconds;

	if (h->n < MIN_SAMPLES)
		return 0;
	a = span_of(h, 0, half);
	b = span_of(h, half, h->n);
	seconds = (double)(h->s[h->n - 1].time_ns - h->s[0].time_ns) / 2e9;
	return seconds > 0 ? (double)growth_of(h, &a, &b) / seconds : 0;
}

static struct history *history_of(struct triggers *t, pid_t pid)
{
	uint64_t *at = hashmap_get_or_add(&t->by_pid, (uint64_t)pid);

	if (at && !*at && !vec_push(&t->histories, (struct history){ .n = 0 }))
		*at = t->histories.n;
	return at && *at ? &t->histories.v[*at - 1] : NULL;
}

static void add_sample(struct history *h, uint64_t time_ns, const struct span *heap)
{
	if (h->n && time_ns - h->s[h->n - 1].time_ns < SAMPLE_NS / 2)
		return;
	if (h->n == SAMPLES)
		memmove(h->s, h->s + 1, sizeof(h->s[0]) * --h->n);
	h->s[h->n].time_ns = time_ns;
	h->s[h->n].low = heap->low;
	h->s[h->n].high = heap->high;
	h->s[h->n].floor = heap->floor;
	h->s[h->n++].cycles = heap->cycles;
}

static void take_samples(struct triggers *t, const struct report *r)
{
	vec_each(p, &r->processes) {
		struct history *h = history_of(t, p->pid);
		struct span sum = { 0 };
		bool floor_known = true;

		vec_each(s, &r->states) {
			if (s->pid != p->pid || s->closed_realtime_ns)
				continue;
			sum.low += s->heap_high ? s->heap_low : heap_of(s);
			sum.high += s->heap_high ? s->heap_high : heap_of(s);
			sum.cycles += s->gc_cycles;
			sum.floor += s->heap_floor;
			floor_known &= s->heap_floor != 0;
		}
		if (!floor_known)
			sum.floor = 0;
		if (h)
			add_sample(h, r->end_realtime_ns, &sum);
	}
}

static bool parse_growth(const char *value, struct trigger *t)
{
	return parse_rate(value, &t->per_s);
}

static bool check_growth(struct triggers *all, struct trigger *t, const struct report *r, char *why,
			 size_t size)
{
	vec_each(p, &r->processes) {
		struct history *h = history_of(all, p->pid);
		double rate = h ? rate_of(h) : 0;
		struct fmtbuf b;

		if (rate > t->per_s)
			return fire(t, why, size, "the heaps of process %d grow by %s a minute", p->pid,
				    fmt_bytes(&b, (uint64_t)(rate * 60)));
	}
	return false;
}

static bool parse_signal(const char *value, struct trigger *t)
{
	(void)t;
	return !strcmp(value, "signal");
}

/* A word begins so, and what follows says more. */
static const struct trigger_kind {
	const char *begin;
	bool (*parse)(const char *value, struct trigger *t);
	/* NULL: not at a moment, but when a process ends */
	bool (*check)(struct triggers *all, struct trigger *t, const struct report *r, char *why,
		      size_t size);
} kinds[] = {
	{ "heap>", parse_heap, check_heap },
	{ "growth>", parse_growth, check_growth },
	{ "", parse_signal, NULL },
	{ "", parse_finding, check_finding }, /* oom is one of them */
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static bool parse_one(const char *word, struct trigger *t)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		size_t n = strlen(kinds[i].begin);

		t->kind = &kinds[i];
		if (!strncmp(word, kinds[i].begin, n) && kinds[i].parse(word + n, t))
			return true;
	}
	return false;
}

static int add_word(struct triggers *t, const char *word, struct errmsg *err)
{
	struct trigger one = { 0 };

	if (!parse_one(word, &one))
		return errmsg_set(err, -EINVAL, "option '--trigger': '%s' is none; known are heap>512M, "
				  "growth>1M/min, oom, signal, and kinds of findings such as leak", word);
	one.word = strdup(word);
	if (!one.word || vec_push(&t->v, one)) {
		free(one.word);
		return errmsg_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

int triggers_parse(const char *text, struct triggers **ret, struct errmsg *err)
{
	struct triggers *t = calloc(1, sizeof(*t));
	auto_free char *copy = strdup(text);
	char *rest = copy, *word;
	int rc = t && copy ? 0 : errmsg_set(err, -ENOMEM, "out of memory");

	while (!rc && (word = strsep(&rest, ",")))
		rc = add_word(t, word, err);
	if (rc)
		triggers_free(t);
	else
		*ret = t;
	return rc;
}

bool triggers_check(struct triggers *t, const struct report *r, char *why, size_t size)
{
	if (!t)
		return false;
	take_samples(t, r);
	vec_each(one, &t->v)
		if (!one->fired && one->kind->check && one->kind->check(t, one, r, why, size))
			return true;
	return false;
}

bool triggers_check_end(struct triggers *t, pid_t pid, int status, char *why, size_t size)
{
	char text[96];

	if (!t || status < 0 || !WIFSIGNALED(status))
		return false;
	vec_each(one, &t->v)
		if (!one->kind->check && !one->fired)
			return fire(one, why, size, "process %d %s", pid,
				    fmt_exit_status(status, text, sizeof(text)));
	return false;
}
