/* SPDX-License-Identifier: MIT */
#include "session_sample.h"

#include "base/hashmap.h"
#include "heap/stall.h"
#include "session_budget.h"

#define STRETCH_MS 1000 /* of births that the first sample of a whole ledger is taken from */

/* For the estimate: memory of the process that a state lives in. */
static bool read_text(void *ctx, uint32_t state, uint64_t uaddr, uint8_t *text, uint32_t n)
{
	struct session *s = ctx;
	const struct heap_state *st = heap_find_state(&s->heap, state);
	struct session_target *t = st ? session_target_of_pid(s, st->pid) : NULL;

	return t && !session_target_ended(t) && memread_exact(&t->mem, uaddr, text, n);
}

/*
 * Since 5.2 the allocator is passed the kind; before, and in LuaJIT, the block's own header says
 * it.
 */
static bool block_is_object(void *ctx, const struct snapshot_site *site, uint64_t uaddr)
{
	struct session *s = ctx;
	const struct heap_state *st = heap_find_state(&s->heap, site->state);
	struct session_target *t = st ? session_target_of_pid(s, st->pid) : NULL;
	enum block_kind kind;

	if (!t || !st->layout)
		return false;
	kind = kind_of_tag(st->layout, site->site.tag);
	if (kind == KIND_UNKNOWN)
		kind = kind_of_block(&t->mem, st->layout, uaddr);
	return kind != KIND_UNKNOWN && kind != KIND_BUFFER;
}

static enum block_kind kind_made(struct heap *h, const struct snapshot_site *site)
{
	uint64_t *at = hashmap_lookup(&h->stacks.site_of, site->index);

	return at && *at ? h->sites.v[*at - 1].kind : KIND_UNKNOWN;
}

/* Objects that a program makes: some of them are remembered. */
static bool is_asked_for(enum block_kind kind)
{
	static const bool asked[] = {
		[KIND_TABLE] = true, [KIND_STRING] = true, [KIND_FUNCTION] = true,
		[KIND_USERDATA] = true, [KIND_THREAD] = true, [KIND_CDATA] = true,
		[KIND_UNKNOWN] = false,
	};

	return kind < sizeof(asked) / sizeof(asked[0]) && asked[kind];
}

/*
 * The word that the VM uses for its own lists: a short string's neighbour in the table of all
 * strings (PUC Lua since 5.3), a function's in the list of what is to be marked.
 */
static uint32_t loose_word(const struct lmt_layout *l, enum block_kind kind)
{
	if (!l || (kind != KIND_STRING && kind != KIND_FUNCTION))
		return 0;
	if (l->family == LMT_FAMILY_PUC)
		return 16;
	if (kind == KIND_STRING)
		return 0;
	return l->gc64.off == 1 ? 24 : 8;
}

/* Remembers some of the objects of the snapshot; rare: of states whose collector hardly runs. */
static int sample(struct session *s, const struct snapshot *snap, bool rare)
{
	struct estimate_reader reader = { read_text, block_is_object, s };
	int rc = 0;

	estimate_open_window(&s->cost.estimate, snap->now_ms);
	for (size_t i = 0; !rc && i < snap->sites.n; i++) {
		const struct snapshot_site *site = &snap->sites.v[i];
		const struct heap_state *st = heap_find_state(&s->heap, site->state);
		enum block_kind kind = kind_made(&s->heap, site);

		if (!st || (rare && !st->rare) || !site->live_blocks || kind == KIND_BUFFER)
			continue;
		rc = estimate_count(&s->cost.estimate, site);
		if (!rc && is_asked_for(kind))
			rc = estimate_add(&s->cost.estimate, site, loose_word(st->layout, kind),
					  heap_cycles(st), &reader);
	}
	estimate_close_window(&s->cost.estimate);
	return rc;
}

int session_sample_window(struct session *s)
{
	struct snapshot_filter all = { 0 };
	struct snapshot snap;
	int rc = session_drain(s, false);

	if (!rc)
		rc = snapshot_take(s->live, &all, &s->gc, &snap);
	if (rc)
		return rc;
	rc = session_read_kinds(s, &snap);
	if (!rc)
		rc = heap_apply(&s->heap, &snap);
	if (!rc)
		rc = sample(s, &snap, false);
	snapshot_deinit(&snap);
	return rc;
}

/* Where the ledger is whole, what was born since the last time takes the place of a window. */
static int sample_stretch(struct session *s)
{
	uint64_t now = live_tick(s->live), since = s->cost.stretch_ms;
	uint64_t first = now > STRETCH_MS ? now - STRETCH_MS : 0;
	struct snapshot_filter fresh = { .since_ms = since ? since : first };
	struct snapshot snap;
	int rc = snapshot_take(s->live, &fresh, &s->gc, &snap);

	if (rc)
		return rc;
	s->cost.stretch_ms = now;
	rc = sample(s, &snap, true);
	snapshot_deinit(&snap);
	return rc;
}

/* Takes over what the polls say of the collectors; true when one of them hardly runs. */
static bool note_rare(struct session *s)
{
	bool any = false;

	vec_each(p, &s->gc.states) {
		struct heap_state *st = p->gone ? NULL : heap_find_state(&s->heap, p->index);

		if (!st)
			continue;
		st->rare = p->stall.rare;
		st->turns = p->stall.turns;
		st->censuses = p->stall.censuses;
		any |= st->rare;
	}
	return any;
}

static void judge_stall(struct session *s, double scale, double seconds)
{
	vec_each(p, &s->gc.states) {
		struct heap_state *st = p->gone ? NULL : heap_find_state(&s->heap, p->index);
		struct gc_stall_rate still;

		if (st && gc_stall_rate(&p->stall, &still) && still.stopped)
			heap_apply_stall(&s->heap, st, still.bytes_per_s,
					      s->cost.windows ? scale : 0, seconds);
	}
}

void session_sample_judge(struct session *s)
{
	double pct, seconds, scale;

	session_budget_seen(s, &pct, &seconds);
	scale = pct > 0 ? 100 / pct : 1;
	s->cost.estimate.only_rare = !s->cost.windows;
	if (s->cost.windows || s->cost.estimate.windows)
		estimate_apply(&s->cost.estimate, &s->heap, &s->gc, scale, seconds);
	judge_stall(s, scale, seconds);
}

int session_sample_look(struct session *s)
{
	struct estimate_reader reader = { read_text, block_is_object, s };
	bool rare = note_rare(s);
	int rc = rare && !s->cost.windows ? sample_stretch(s) : 0;

	if (s->cost.windows || rare)
		estimate_check(&s->cost.estimate, &reader);
	session_sample_judge(s);
	return rc;
}
