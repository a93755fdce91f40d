/* SPDX-License-Identifier: MIT */
#include "session_names.h"

#include <errno.h>
#include <stdlib.h>

int names_init(struct session_names *n)
{
	n->strings = strpool_new();
	return n->strings ? 0 : -ENOMEM;
}

void names_deinit(struct session_names *n)
{
	free(n->natives);
	stackdb_deinit(&n->stacks);
	strpool_free(n->strings);
}

void names_keep_copy(struct session_names *n, const struct lmt_memory *copy)
{
	n->copies[n->n_copies++ % SESSION_COPIES] = *copy;
}

void names_open_copies(const struct session_names *n, const struct memread *below, uint32_t slot,
		       uint32_t site, struct memread_copies *c, struct memread *ret)
{
	*c = (struct memread_copies){ .below = below };
	for (unsigned int i = 1; i <= SESSION_COPIES; i++) {
		const struct lmt_memory *m = &n->copies[(n->n_copies - i) % SESSION_COPIES];
		const void *data[] = { m->data0, m->data1, m->data2, m->data3 };

		if (m->e.arg0 != site || m->e.slot != slot)
			continue;
		for (size_t k = 0; k < 4; k++) {
			c->part[k].uaddr = m->part[k].uaddr;
			c->part[k].len = m->part[k].len;
			c->part[k].data = data[k];
		}
		break;
	}
	memread_open_copies(c, ret);
}

struct native_stack *names_next_native(struct session_names *n)
{
	if (!n->natives)
		n->natives = calloc(SESSION_NATIVES, sizeof(*n->natives));
	return n->natives ? &n->natives[n->n_natives++ % SESSION_NATIVES] : NULL;
}

const struct native_stack *names_take_native(struct session_names *n,
					     const struct lmt_stack_event *e)
{
	if (!(e->flags & LMT_STACK_NATIVE))
		return NULL;
	for (unsigned int i = 0; n->natives && i < SESSION_NATIVES; i++)
		if (n->natives[i].tid == e->e.tid && n->natives[i].site == e->e.arg0) {
			n->natives[i].tid = 0;
			return &n->natives[i];
		}
	return NULL;
}
