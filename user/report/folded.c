/* SPDX-License-Identifier: MIT */
/* Stacks in one line each: what flamegraph.pl, inferno and speedscope read. */
#include <inttypes.h>
#include <string.h>

#include "base/escape.h"
#include "flame.h"

#define MAX_DEPTH 300

/* A semicolon separates frames, so it cannot be in one. */
static void put_frame(const char *label, FILE *out)
{
	char text[1600];

	escape_term(text, sizeof(text), label);
	for (char *c = text; (c = strchr(c, ';'));)
		*c = ':';
	fputs(text, out);
}

void folded_write(const struct flame *f, enum metric m, FILE *out)
{
	uint32_t path[MAX_DEPTH];

	for (uint32_t i = 1; i < f->nodes.n; i++) {
		uint32_t depth = 0;

		if (!f->nodes.v[i].self[m])
			continue;
		for (uint32_t at = i; at && depth < MAX_DEPTH; at = f->nodes.v[at].parent)
			path[depth++] = at;
		while (depth--) {
			put_frame(strpool_get(f->text, f->nodes.v[path[depth]].label), out);
			putc(depth ? ';' : ' ', out);
		}
		fprintf(out, "%" PRIu64 "\n", f->nodes.v[i].self[m]);
	}
}
