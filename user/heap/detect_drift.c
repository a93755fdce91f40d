/* SPDX-License-Identifier: MIT */
/*
 * accounting-drift: the VM's own total and the ledger move apart. Compared only while nothing goes
 * on, when both are exact. That the ledger holds more is usual: C libraries may allocate through
 * the state's allocator without telling the VM. That the VM counts more is not.
 */
#include "detect.h"

#include <inttypes.h>

#define NOTHING_BYTES 256

static uint64_t events_of(const struct lmt_state *st)
{
	return st->allocs + st->frees + st->reallocs + st->failures;
}

static int64_t counted(const struct lmt_state *st)
{
	return (int64_t)(st->alloc_bytes - st->free_bytes - st->old_free_bytes);
}

/*
 * True when two looks saw the same; then *off_ret is how far both are apart, less what predates
 * us.
 */
static bool is_quiet(struct heap_state *s, int64_t *off_ret)
{
	struct heap_balance *b = &s->balance;
	uint64_t events = events_of(&s->st);
	bool quiet = b->events == events && b->vm_bytes == s->heap_bytes;
	int64_t off = (int64_t)s->heap_bytes - counted(&s->st);

	b->events = events;
	b->vm_bytes = s->heap_bytes;
	if (!quiet)
		return false;
	if (!b->based) {
		b->base = s->before_attach ? off : 0;
		b->based = true;
	}
	*off_ret = off - b->base;
	return true;
}

static void say(struct findings *fs, const struct heap_state *s, const struct snapshot *snap,
		int64_t off)
{
	struct finding *f = finding_make(fs, FINDING_ACCOUNTING_DRIFT, s->index);

	if (!f)
		return;
	if (!f->time_ns)
		f->time_ns = snap->end_ns;
	f->severity = SEVERITY_WARNING;
	f->confidence = CONFIDENCE_LIKELY;
	f->pid = s->pid;
	f->state = s->number;
	evidence_number(f, "vm_bytes", s->heap_bytes);
	evidence_number(f, "ledger_bytes", s->heap_bytes - (uint64_t)off);
	finding_say(fs, f, "Lua counts %" PRId64 " bytes %s than its allocator handed out: the collector works "
		    "by a wrong total", off < 0 ? -off : off, off < 0 ? "less" : "more");
	finding_advise(fs, f, "look for code that changes the collector's counter itself, or frees through "
		       "Lua's internals with a wrong size (see size-mismatch)");
}

#define BIT(kind) (1ull << (kind))
#define BAD_FREES (BIT(FINDING_DOUBLE_FREE) | BIT(FINDING_FOREIGN_FREE) | BIT(FINDING_STATIC_FREE))

static bool has_any(const struct findings *fs, const struct heap_state *s, uint64_t kinds)
{
	vec_each(f, &fs->v)
		if (kinds & BIT(f->kind) && f->state == s->number && f->pid == s->pid)
			return true;
	return false;
}

void detect_drift(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last)
{
	int64_t off;

	(void)last;
	if (fs->windows || snap->stats[LMT_STAT_MAP_FULL] || snap->stats[LMT_STAT_NO_STATE] ||
	    snap->stats[LMT_STAT_NO_PENDING])
		return;
	vec_each(s, &h->states) {
		if (!s->number || s->closed || s->ended || !s->heap_known || !is_quiet(s, &off))
			continue;
		/*
		 * A block freed that Lua did not free makes them differ, and is told as what it
		 * is.
		 */
		if ((off > NOTHING_BYTES && !has_any(fs, s, BAD_FREES)) ||
		    (off < -NOTHING_BYTES && has_any(fs, s, BIT(FINDING_SIZE_MISMATCH))))
			say(fs, s, snap, off);
	}
}
