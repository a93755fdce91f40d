/* SPDX-License-Identifier: MIT */
/*
 * Names of states, where their program has some (census/label.c). A state gets its name some time
 * after its birth, so it is asked again, ever less often.
 */
#include "session_find.h"

#include <stdio.h>

#include "census/label.h"

#define AT_A_TIME 64
#define MAX_TRIES 14 /* the last about ten seconds after the first */
#define FIRST_NS 1000000ull

static bool is_due(const struct heap_state *h, pid_t pid, uint64_t now_ns)
{
	return h->pid == pid && h->number && !h->label && !h->ended && !h->closed &&
	       h->label_tries < MAX_TRIES && now_ns >= h->label_next_ns;
}

/* The program runs on, and a name read from a table that is being moved is another's: 0 then. */
static uint32_t read_label(struct session *s, struct session_target *t, const struct layout *layout,
			   const struct lmt_state *st)
{
	struct labels labels;
	uint32_t label = 0;

	if (labels_open(t->target, &t->mem, &labels))
		label = labels_of(&labels, layout, st->main, st->g, s->names.strings);
	labels_close(&labels);
	return label;
}

static void label_target(struct session *s, struct session_target *t, uint64_t now_ns)
{
	uint32_t n, left = AT_A_TIME;
	const struct lmt_state *table = live_states(s->live, &n);
	uint32_t label;

	vec_each(h, &s->heap.states) {
		const struct layout *layout;

		if (!left || !is_due(h, t->target->pid, now_ns) || h->index >= n ||
		    table[h->index].flags & (LMT_STATE_CLOSING | LMT_STATE_DEAD))
			continue;
		h->label_next_ns = now_ns + (FIRST_NS << h->label_tries++);
		layout = attach_layout(s->attach, table[h->index].layout);
		label = layout ? read_label(s, t, layout, &table[h->index]) : 0;
		if (label && label == read_label(s, t, layout, &table[h->index]))
			h->label = label;
		left--;
	}
}

void session_ask_labels(const struct session_target *t, struct plan *plan)
{
	if (!label_known_at_close(t->target))
		return;
	vec_each(site, &plan->sites)
		if (site->probe.kind == LMT_PROBE_CLOSE)
			site->probe.flags |= LMT_PROBE_LABEL;
}

void session_on_label(struct session *s, struct session_target *t, const struct lmt_label *e)
{
	struct heap_state *h = heap_find_state(&s->heap, e->e.state);
	char text[LMT_LABEL_BYTES + 1];

	if (!h || h->label || !e->text[0]) /* it could not be read */
		return;
	snprintf(text, sizeof(text), "%.*s", LMT_LABEL_BYTES, (const char *)e->text);
	h->label = label_at_close(t->target, text, (uint32_t)e->e.arg0, s->names.strings);
}

void session_label_states(struct session *s, uint64_t now_ns)
{
	vec_each(t, &s->targets.all)
		if (t->slot && !session_target_ended(t) && labels_known(t->target))
			label_target(s, t, now_ns);
}
