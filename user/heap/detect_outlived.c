/* SPDX-License-Identifier: MIT */
/*
 * outlived-close: what a state still owned when it was closed has no owner any more. The previous
 * tag (what its state allocated just before) tells what kind of object the block belonged to.
 */
#include "detect.h"

#include <stdio.h>
#include <string.h>

/* A block may have been handed on, and be freed a little later; there is less time at the end. */
#define SETTLE_NS 500000000ull
#define SETTLE_LAST_NS 100000000ull

static bool is_due(const struct heap_state *st, const struct snapshot *snap, bool last)
{
	uint64_t closed = st->st.close_ns;

	return st->st.flags & LMT_STATE_DEAD && !(st->st.flags & LMT_STATE_ARENA) && closed &&
	       snap->end_ns >= closed + (last ? SETTLE_LAST_NS : SETTLE_NS);
}

static bool has_ended(const struct heap *h, const struct finding *f)
{
	vec_each(st, &h->states)
		if (st->number == f->state && st->pid == f->pid)
			return st->ended;
	return true;
}

/* Blocks that were freed after all, by another owner, were no leak; unless their process ended. */
static void withdraw_all(struct findings *fs, const struct heap *h)
{
	vec_each(f, &fs->v)
		if (f->kind == FINDING_OUTLIVED_CLOSE && !has_ended(h, f))
			f->withdrawn = true;
}

/* For those who do not know Lua's inside. */
static const char *spell(const char *kind)
{
	return strcmp(kind, "proto") ? kind : "function prototype";
}

static const char *article(const char *kind)
{
	return strcmp(kind, "upvalue") ? "a" : "an";
}

static void say(struct findings *fs, struct finding *f, const struct heap_state *st,
		const struct snapshot_orphans *o)
{
	const char *prev = tag_name(st->layout, o->prev_tag);
	char behind[64] = "", made[40] = "";

	if (o->prev_tag)
		snprintf(behind, sizeof(behind), ", each taken right after Lua made %s %s", article(prev),
			 spell(prev));
	finding_say(fs, f, "%llu block%s of %llu bytes outlived lua_close(): memory that belonged to a closed "
		    "state and that nobody can free (%s%s)", (unsigned long long)o->blocks,
		    o->blocks == 1 ? "" : "s", (unsigned long long)o->size,
		    o->tag ? spell(tag_name(st->layout, o->tag)) : "untyped memory", behind);
	if (o->prev_tag)
		snprintf(made, sizeof(made), "%s %s", article(prev), spell(prev));
	finding_advise(fs, f, "look at code that allocates %llu bytes through the state's allocator%s%s and "
		       "has no matching free", (unsigned long long)o->size,
		       o->prev_tag ? " when it makes " : "", made);
}

/*
 * Does the process free memory of Lua's in ways that we do not see? Then nobody knows what is
 * left.
 */
static bool frees_unseen(const struct heap *h, pid_t pid)
{
	vec_each(st, &h->states)
		if (st->pid == pid && st->st.flags & LMT_STATE_BLIND)
			return true;
	return false;
}

void detect_outlived(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last)
{
	withdraw_all(fs, h);
	vec_each(o, &snap->orphans) {
		struct heap_state *st = heap_find_state(h, o->state);
		struct finding *f;

		if (!st || !st->number || !is_due(st, snap, last) || !o->blocks ||
		    frees_unseen(h, st->pid))
			continue;
		f = finding_make(fs, FINDING_OUTLIVED_CLOSE,
				 (uint64_t)o->state << 40 ^ o->size << 16 ^
					 (uint64_t)o->prev_tag << 8 ^ o->tag);
		if (!f)
			return;
		f->time_ns = st->st.close_ns;
		f->severity = SEVERITY_ERROR;
		f->confidence = st->before_attach ? CONFIDENCE_LIKELY : CONFIDENCE_CERTAIN;
		f->pid = st->pid;
		f->state = st->number;
		f->frame = heap_get_frame(h, o->site);
		f->count = o->blocks;
		evidence_number(f, "bytes", o->bytes);
		evidence_number(f, "blocks", o->blocks);
		evidence_number(f, "size", o->size);
		evidence_number(f, "tag", o->tag);
		evidence_text(fs, f, "tag_name", tag_name(st->layout, o->tag));
		evidence_number(f, "prev_tag", o->prev_tag);
		evidence_text(fs, f, "prev_tag_name", tag_name(st->layout, o->prev_tag));
		evidence_text(fs, f, "label", st->label ? strpool_get(fs->strings, st->label) : NULL);
		say(fs, f, st, o);
	}
}
