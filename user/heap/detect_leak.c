/* SPDX-License-Identifier: MIT */
/*
 * leak: what some lines of Lua keep alive grows over garbage collections and does not level off.
 * The judgement of a site is verdict.c's; here sites become one finding for each cause: the
 * container that their survivors hang on, or, where that is not known, the line.
 */
#include "detect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "how_sure.h"

/* Until a leak is reported: a cache that fills looks the same, but not for long. */
#define LASTS_NS 10000000000ull
#define LINES 8 /* named in a finding */

/* A site that leaks, and under which cause. */
struct leaking {
	uint64_t cause;
	size_t site; /* position in heap.sites */
	uint64_t bytes;
};

struct leaks {
	vec_of(struct leaking) v;
	vec_of(uint64_t) ceased;      /* causes of which a site has levelled off… */
	struct hashmap standing;      /* …and those of which one has not */
	struct hashmap container_of;  /* (state, line) → string id */
};

/*
 * What was seen to grow and has levelled off since, or is gone, was a cache that filled. That it
 * is not sure any more is no such thing.
 */
bool detect_has_ceased(const struct heap_site *s, const struct heap_state *st)
{
	return s->verdict == VERDICT_STABLE || (st->age.known && !s->old_bytes);
}

/* At the end there is nothing more to wait for. */
static bool has_lasted(struct heap_site *s, const struct heap_state *st, uint64_t now_ns, bool last)
{
	if (!s->leaks_since_ns)
		s->leaks_since_ns = now_ns;
	return last || st->ended || now_ns - s->leaks_since_ns >= LASTS_NS;
}

/* The way to an object up to the first index: what is indexed holds ever more. 0: there is none. */
static uint32_t container_in(struct strpool *strings, uint32_t holder)
{
	static const char index[] = { EVIDENCE_STEP, '[', '\0' };
	const char *path = strpool_get(strings, holder), *end = strstr(path, index);
	char text[1200];

	if (!end || (size_t)(end - path) >= sizeof(text))
		return 0;
	snprintf(text, sizeof(text), "%.*s", (int)(end - path), path);
	return strpool_add(strings, text);
}

static uint64_t line_key(const struct heap_site *s)
{
	return (uint64_t)s->state << 32 | s->frame.where;
}

/* All parts of a line hang on what one of them was seen to hang on. */
static void note_container(struct findings *fs, struct heap_site *s, struct leaks *l)
{
	uint64_t *at;

	if (!s->container && s->holder)
		s->container = container_in(fs->strings, s->holder);
	if (!s->container || !s->frame.where)
		return;
	at = hashmap_get_or_add(&l->container_of, line_key(s));
	if (at && !*at)
		*at = s->container;
}

static uint64_t cause_of(const struct leaks *l, const struct heap_site *s)
{
	const uint64_t *at = s->frame.where ? hashmap_lookup(&l->container_of, line_key(s)) : NULL;
	uint64_t container = s->container ? s->container : at ? *at : 0;

	if (container)
		return ((uint64_t)s->state << 32 | container) * 2 + 1;
	return (s->frame.where ? line_key(s) : s->id << 32) * 2;
}

static int note_site(struct findings *fs, struct heap *h, size_t i, struct leaks *l, bool leaks)
{
	struct heap_site *s = &h->sites.v[i];
	uint64_t cause = leaks ? cause_of(l, s) : s->cause, *at;

	if (s->cause && s->cause != cause)
		finding_withdraw(fs, FINDING_LEAK, s->cause);
	s->cause = cause;
	if (!cause)
		return 0;
	if (detect_has_ceased(s, &h->states.v[s->state]))
		return vec_push(&l->ceased, cause);
	at = hashmap_get_or_add(&l->standing, cause);
	if (at)
		*at = 1;
	if (!at)
		return -ENOMEM;
	return leaks ? vec_push(&l->v, (struct leaking){ cause, i, s->live_bytes }) : 0;
}

static int largest_first(const void *pa, const void *pb)
{
	const struct leaking *a = pa, *b = pb;

	if (a->cause != b->cause)
		return a->cause < b->cause ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return a->site < b->site ? -1 : a->site > b->site;
}

static int gather(struct findings *fs, struct heap *h, uint64_t now_ns, bool last, struct leaks *l)
{
	int rc = 0;

	vec_each(s, &h->sites)
		if (s->verdict == VERDICT_LEAK)
			note_container(fs, s, l);
	for (size_t i = 0; !rc && i < h->sites.n; i++) {
		struct heap_site *s = &h->sites.v[i];
		const struct heap_state *st = &h->states.v[s->state];

		if (st->closed || s->kind == KIND_C_HEAP)
			continue;
		if (detect_has_ceased(s, st))
			s->leaks_since_ns = 0;
		rc = note_site(fs, h, i, l,
			       s->verdict == VERDICT_LEAK && has_lasted(s, st, now_ns, last));
	}
	if (l->v.n)
		qsort(l->v.v, l->v.n, sizeof(*l->v.v), largest_first);
	return rc;
}

/* What all sites of a cause come to. */
struct sum {
	uint64_t bytes, blocks;
	uint32_t survived, holder, entries;
	double growth;
	char kinds[128];
	struct how_sure sure;
};

static void add_kind(struct sum *sum, enum block_kind kind)
{
	const char *name = kind_name(kind);
	size_t n = strlen(sum->kinds);

	if (!strstr(sum->kinds, name))
		snprintf(sum->kinds + n, sizeof(sum->kinds) - n, "%s%s", n ? ", " : "", name);
}

static struct sum sum_up(const struct strpool *strings, const struct heap *h,
			 const struct leaking *first, size_t n)
{
	struct sum sum = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct heap_site *s = &h->sites.v[first[i].site];

		sum.bytes += s->live_bytes;
		sum.blocks += s->live_blocks;
		sum.growth += s->growth_bytes_per_s;
		if (s->survived_cycles > sum.survived)
			sum.survived = s->survived_cycles;
		sum.holder = sum.holder ? sum.holder : s->holder;
		if (s->container_entries > sum.entries)
			sum.entries = s->container_entries;
		add_kind(&sum, s->kind);
		how_sure_add(&sum.sure, strings, s);
	}
	return sum;
}

/* The lines that fill it, as EVIDENCE_LINES has them. */
static void add_lines(struct findings *fs, struct finding *f, const struct heap *h,
		      const struct leaking *first, size_t n)
{
	char text[4096];
	size_t len = 0;

	for (size_t i = 0; i < n && i < LINES; i++) {
		const struct heap_site *s = &h->sites.v[first[i].site];
		const char *where = s->frame.where ? strpool_get(fs->strings, s->frame.where) : "";
		int row = snprintf(text + len, sizeof(text) - len,
				   "%s%s\x1e%s\x1e%" PRIu64 "\x1e%" PRIu64 "\x1e%.0f",
				   i ? "\x1f" : "", where, kind_name(s->kind), s->live_bytes,
				   s->live_blocks, s->growth_bytes_per_s);

		if (row < 0 || len + (size_t)row >= sizeof(text))
			break;
		len += (size_t)row;
	}
	text[len] = '\0';
	evidence_lines(fs, f, "lines", text);
}

/* Of the heap, once that says something. */
static void put_share(char *buf, size_t size, uint64_t bytes, const struct heap_state *st)
{
	uint64_t heap = st->heap_known ? st->heap_bytes : 0;

	buf[0] = '\0';
	if (heap && bytes <= heap && bytes * 20 >= heap)
		snprintf(buf, size, " (%.0f %% of this heap)", 100.0 * (double)bytes / (double)heap);
}

/* When a cache that fills would be twice as large. */
static unsigned int look_again_s(const struct sum *sum)
{
	double s = sum->growth > 0 ? (double)sum->bytes / sum->growth : 60;

	return s < 60 ? 60 : s > 86400 ? 86400 : (unsigned int)s;
}

static void say(struct findings *fs, struct finding *f, const struct sum *sum,
		const struct heap_state *st)
{
	const char *passed = !st->rare ? "garbage collections"
				       : "garbage collections, or looks at the heap in place of a collector "
					 "that hardly runs,";
	struct fmtbuf a, b;
	char share[64], one_in[64] = "";

	put_share(share, sizeof(share), sum->bytes, st);
	if (sum->sure.share > 0 && sum->sure.share < 0.9)
		snprintf(one_in, sizeof(one_in), "one in %.0f of ", 1 / sum->sure.share);
	finding_say(fs, f, "%swhat this line allocates is %s: %s%s outlived up to %u %s and grow by %s/s",
		    one_in, sum->sure.reasons ? "never let go" : "kept so far, more and more of it",
		    fmt_bytes(&a, sum->bytes), share, sum->survived, passed,
		    fmt_bytes(&b, sum->growth > 0 ? (uint64_t)sum->growth : 0));
	if (sum->sure.advice)
		finding_advise(fs, f, "%s", sum->sure.advice);
	else if (sum->sure.reasons)
		finding_advise(fs, f, "find what still refers to these objects (a table that is only added "
			       "to, a registry reference, a closure): 'luamemtrace census -p %d'", st->pid);
	else
		finding_advise(fs, f, "a cache that still fills looks the same: see whether the code has a "
			       "bound for it, or look again in %u s, when it would have doubled",
			       look_again_s(sum));
}

static void report(struct findings *fs, struct heap *h, uint64_t now_ns,
		   const struct leaking *first, size_t n)
{
	const struct heap_site *s = &h->sites.v[first->site];
	const struct heap_state *st = &h->states.v[s->state];
	struct finding *f = finding_make(fs, FINDING_LEAK, first->cause);
	struct sum sum = sum_up(fs->strings, h, first, n);

	if (!f)
		return;
	if (!f->time_ns)
		f->time_ns = now_ns;
	f->severity = how_sure_severity(&sum.sure);
	f->confidence = how_sure_confidence(&sum.sure);
	if (!s->frame.where && f->confidence == CONFIDENCE_CERTAIN)
		f->confidence = CONFIDENCE_LIKELY;
	f->pid = st->pid;
	f->state = st->number;
	f->frame = s->frame;
	f->below = s->below;
	f->stack = heap_main_stack(h, s);
	f->count = sum.blocks;
	evidence_number(f, "bytes", sum.bytes);
	evidence_number(f, "blocks", sum.blocks);
	evidence_number(f, "survived_cycles", sum.survived);
	evidence_rate(f, "growth_bytes_per_s", sum.growth);
	evidence_text(fs, f, "object", sum.kinds);
	evidence_path(f, "path", sum.holder);
	if (sum.entries)
		evidence_number(f, "entries", sum.entries);
	if (n > 1)
		add_lines(fs, f, h, first, n);
	if (sum.sure.share > 0) {
		evidence_rate(f, "kept_pct", 100 * sum.sure.share);
		evidence_rate(f, "kept_low_pct", 100 * sum.sure.low);
		evidence_rate(f, "kept_high_pct", 100 * sum.sure.high);
	}
	if (sum.sure.reasons)
		evidence_text(fs, f, "reasons", sum.sure.text);
	say(fs, f, &sum, st);
}

void detect_leak(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last)
{
	struct leaks l = { 0 };

	if (gather(fs, h, snap->end_ns, last, &l))
		fs->failed = true;
	vec_each(cause, &l.ceased)
		if (!hashmap_lookup(&l.standing, *cause))
			finding_withdraw(fs, FINDING_LEAK, *cause);
	for (size_t i = 0, n; i < l.v.n; i += n) {
		for (n = 1; i + n < l.v.n && l.v.v[i + n].cause == l.v.v[i].cause; n++)
			;
		report(fs, h, snap->end_ns, &l.v.v[i], n);
	}
	vec_deinit(&l.v);
	vec_deinit(&l.ceased);
	hashmap_deinit(&l.standing);
	hashmap_deinit(&l.container_of);
}
