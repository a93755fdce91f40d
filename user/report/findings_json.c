/* SPDX-License-Identifier: MIT */
#include "findings.h"

#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "finding_lines.h"
#include "jsonw.h"

/* Only the innermost Lua frame is known. */
static void write_stack(struct jsonw *w, const char *key, const struct report_frame *f)
{
	jsonw_array(w, key);
	if (f->lua) {
		jsonw_object(w, NULL);
		jsonw_str(w, "lua", f->lua);
		jsonw_str_known(w, "name", f->name);
		if (f->approx)
			jsonw_bool(w, "approx", true);
		jsonw_close(w, '}');
		jsonw_object(w, NULL);
		jsonw_bool(w, "truncated", true);
		jsonw_close(w, '}');
	}
	jsonw_close(w, ']');
}

/* An array of its steps, as the census writes them. */
static void write_path(struct jsonw *w, const struct report_evidence *e)
{
	char step[1200];

	jsonw_array(w, e->key);
	for (const char *s = e->text; s && *s; s += *s == EVIDENCE_STEP) {
		const char *end = strchrnul(s, EVIDENCE_STEP);

		snprintf(step, sizeof(step), "%.*s", (int)(end - s), s);
		jsonw_str(w, NULL, step);
		s = end;
	}
	jsonw_close(w, ']');
}

static void write_lines(struct jsonw *w, const struct report_evidence *e)
{
	const char *text = e->text;
	struct finding_line l;

	jsonw_array(w, e->key);
	while (finding_lines_next(&text, &l)) {
		jsonw_object(w, NULL);
		if (*l.line)
			jsonw_str(w, "line", l.line);
		jsonw_str(w, "kind", l.kind);
		jsonw_u64(w, "bytes", l.bytes);
		jsonw_u64(w, "blocks", l.blocks);
		jsonw_double(w, "growth_bytes_per_s", l.growth_bytes_per_s);
		jsonw_close(w, '}');
	}
	jsonw_close(w, ']');
}

/* As the stack of the finding, under its own name; what C did there in KEY_via. */
static void write_evidence_stack(struct jsonw *w, const struct report *r,
				 const struct report_evidence *e)
{
	char via[64];

	snprintf(via, sizeof(via), "%s_via", e->key);
	if (e->stack.n)
		json_write_stack(w, e->key, via, r, &e->stack);
	else
		write_stack(w, e->key, &e->frame);
}

static void write_evidence(struct jsonw *w, const struct report *r, const struct report_evidence *e)
{
	switch (e->type) {
	case EVIDENCE_NUMBER:
		jsonw_u64(w, e->key, e->n);
		break;
	case EVIDENCE_SIGNED:
		jsonw_s64(w, e->key, (int64_t)e->n);
		break;
	case EVIDENCE_ADDRESS:
		jsonw_addr(w, e->key, e->n);
		break;
	case EVIDENCE_TEXT:
		jsonw_str(w, e->key, e->text);
		break;
	case EVIDENCE_STACK:
		write_evidence_stack(w, r, e);
		break;
	case EVIDENCE_RATE:
		jsonw_double(w, e->key, e->rate);
		break;
	case EVIDENCE_PATH:
		write_path(w, e);
		break;
	case EVIDENCE_LINES:
		write_lines(w, e);
		break;
	}
}

static void write_finding(const struct report *r, const struct report_finding *f, FILE *out)
{
	struct fmtbuf b;
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "finding");
	jsonw_str(&w, "kind", finding_kind_name(f->kind));
	jsonw_str(&w, "severity", severity_name(f->severity));
	jsonw_str(&w, "confidence", confidence_name(f->confidence));
	if (f->realtime_ns)
		jsonw_str(&w, "time", fmt_rfc3339(&b, f->realtime_ns));
	jsonw_u64(&w, "pid", (uint64_t)f->pid);
	if (f->tid)
		jsonw_u64(&w, "tid", (uint64_t)f->tid);
	jsonw_u64(&w, "state", f->state);
	jsonw_str(&w, "message", f->message);
	jsonw_str_known(&w, "advice", f->advice);
	jsonw_u64(&w, "count", f->count);
	jsonw_object(&w, "evidence");
	vec_each(e, &f->evidence)
		write_evidence(&w, r, e);
	jsonw_close(&w, '}');
	if (f->stack.n)
		json_write_stack(&w, "stack", "via", r, &f->stack);
	else
		write_stack(&w, "stack", &f->frame);
	jsonw_end(&w);
}

void findings_write_json(const struct report *r, FILE *out)
{
	vec_each(f, &r->findings)
		write_finding(r, f, out);
}
