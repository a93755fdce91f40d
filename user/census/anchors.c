/* SPDX-License-Identifier: MIT */
#include "anchors.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "resolve/gcstate.h"

#define MAX_STACK (1u << 20)
#define ABOVE_TOP 1024      /* bytes: top is exact around calls of C only */
#define MAX_TABLE (64u << 20)
#define WAIT_MS 5
#define WAITS 20            /* for the end of a sweep */

void anchors_deinit(struct anchors *a)
{
	vec_each(x, &a->v)
		free(x->bytes);
	vec_deinit(&a->v);
}

static bool add(struct anchors *a, const struct memread *mem, uint64_t uaddr, uint64_t n)
{
	struct anchor x = { uaddr, n, n <= MAX_TABLE ? malloc(n) : NULL };

	if (!x.bytes || !memread_exact(mem, uaddr, x.bytes, n) || vec_push(&a->v, x)) {
		free(x.bytes);
		return false;
	}
	return true;
}

static bool get(const struct memread *mem, const struct resolved_state *rs, struct lmt_cell c, uint64_t *ret)
{
	return layout_has(c) && memread_uint(mem, rs->G + (uint64_t)c.off, c.size, ret);
}

/* Before it has found out what is dead, and when it is done with that. */
static bool is_freeing(const struct memread *mem, const struct resolved_state *rs)
{
	const char *name;
	uint64_t state;

	if (!get(mem, rs, rs->layout->l.G_gcstate, &state))
		return true;
	name = gcstate_name(&rs->layout->l, (unsigned int)state);
	return !name || (strcmp(name, "pause") && strcmp(name, "propagate"));
}

static bool add_strings(struct anchors *a, const struct memread *mem, const struct resolved_state *rs)
{
	const struct lmt_layout *l = &rs->layout->l;
	bool puc = l->family == LMT_FAMILY_PUC;
	uint64_t at, n;

	if (!get(mem, rs, puc ? l->G_hash : l->G_strtab, &at) || !get(mem, rs, puc ? l->G_strsize : l->G_strmask, &n))
		return false;
	return n < MAX_TABLE && add(a, mem, at, puc ? 8 * n : (n + 1) * l->G_strtab.size);
}

/*
 * The main thread, which is the head of a list as well, and its local variables: of a list that grows at its
 * front they would hold what is not in the copy. Without the stack it does, too.
 */
static bool add_thread(struct anchors *a, const struct memread *mem, const struct resolved_state *rs)
{
	const struct lmt_layout *l = &rs->layout->l;
	uint64_t stack, top;

	if (memread_uint(mem, rs->L + (uint64_t)l->L_stack.off, l->L_stack.size, &stack) &&
	    memread_uint(mem, rs->L + (uint64_t)l->L_top.off, l->L_top.size, &top) && top >= stack &&
	    top - stack < MAX_STACK)
		add(a, mem, stack, top - stack + ABOVE_TOP);
	return add(a, mem, rs->L, (uint64_t)l->size_L.off);
}

bool anchors_read(struct anchors *a, const struct memread *mem, const struct resolved_state *rs)
{
	if (!rs->layout)
		return false;
	for (int i = 0; is_freeing(mem, rs); i++) {
		if (i == WAITS)
			return false;
		nanosleep(&(struct timespec){ .tv_nsec = WAIT_MS * 1000000 }, NULL);
	}
	return add_strings(a, mem, rs) && add_thread(a, mem, rs) &&
	       add(a, mem, rs->G, (uint64_t)rs->layout->l.size_G.off);
}

bool anchors_lay(const struct anchors *a, struct image *im)
{
	vec_each(x, &a->v) {
		uint8_t *to = (uint8_t *)image_at(im, x->uaddr, x->n);

		if (!to)
			return false;
		memcpy(to, x->bytes, x->n);
	}
	return true;
}
