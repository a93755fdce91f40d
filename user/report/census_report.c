/* SPDX-License-Identifier: MIT */
#include "census_report.h"

#include <inttypes.h>
#include <string.h>

#include "base/escape.h"

bool census_report_complete(const struct census_report *cr)
{
	for (size_t i = 0; i < cr->n; i++) {
		if (cr->process[i].failed)
			return false;
		vec_each(s, &cr->process[i].census->states)
			if (!s->done && !s->gone)
				return false;
	}
	return true;
}

size_t census_report_findings(const struct census_report *cr)
{
	size_t n = 0;

	for (size_t i = 0; i < cr->n; i++)
		vec_each(s, &cr->process[i].census->states)
			n += s->findings.n;
	return n;
}

void census_finding_text(const struct census *c, const struct census_finding *f, char *out,
			 size_t size)
{
	static const char *const wrong[] = {
		[CENSUS_PTR_NOTHING] = "",
		[CENSUS_PTR_FREED] = "memory that was freed",
		[CENSUS_PTR_UNHELD] = "an object that nobody holds any more: ",
		[CENSUS_PTR_RECYCLED] = "memory that was freed and is something else now: ",
	};
	const char *field = strpool_get(c->pool, f->field);

	if (f->kind == CENSUS_FOREIGN_NODES)
		snprintf(out, size, "%" PRIu64 " tables of a state of '%s' were made by the copy of Lua in "
			 "'%s': two copies run on one state%s", f->count, strpool_get(c->pool, f->owner),
			 strpool_get(c->pool, f->foreign), f->crashes
			 ? "; whichever collects the other's tables will free static memory and crash"
			 : "");
	else
		snprintf(out, size, "%s%s%s at 0x%" PRIx64 " points at 0x%" PRIx64 ", %s%s",
			 strpool_get(c->pool, f->ctype), *field ? ", member " : "", field, f->uaddr,
			 f->target, wrong[f->wrong], strpool_get(c->pool, f->block_kind));
}

void census_path_text(const struct census *c, const struct census_path *p, char *out, size_t size)
{
	size_t at = 0;

	*out = '\0';
	for (unsigned int i = 0; i < p->n && at + 1 < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%s", i ? " → " : "",
				       strpool_get(c->pool, p->step[i]));
}

void census_write_folded(const struct census_report *cr, FILE *out)
{
	for (size_t i = 0; i < cr->n; i++) {
		const struct census *c = cr->process[i].census;

		vec_each(s, &c->states) {
			uint32_t number = cr->process[i].first_state + s->index;

			vec_each(st, &s->stacks) {
				char text[8192];

				escape_term(text, sizeof(text), strpool_get(c->pool, st->text));
				fprintf(out, "state %" PRIu32 ";%s %" PRIu64 "\n", number, text, st->bytes);
			}
			for (unsigned int p = 0; s->done && p < CENSUS_PART_MAX; p++)
				if (s->part_bytes[p])
					fprintf(out, "state %" PRIu32 ";the VM itself;%s %" PRIu64 "\n",
						number, census_part_name(p), s->part_bytes[p]);
		}
	}
}
