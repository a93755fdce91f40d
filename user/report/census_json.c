/* SPDX-License-Identifier: MIT */
/* The census as records; the fields are a contract (docs/JSON.md) and only ever grow. */
#include "census_report.h"

#include "base/fmt.h"
#include "format.h"
#include "jsonw.h"

static const struct report_state *state_of(const struct census_report *cr, uint32_t number)
{
	vec_each(s, &cr->r->states)
		if (s->state == number)
			return s;
	return NULL;
}

static void write_state(const struct census_report *cr, const struct census_process *p,
			const struct census_state *s, FILE *out)
{
	uint32_t number = p->first_state + s->index;
	const struct report_state *rs = state_of(cr, number);
	const struct census *c = p->census;
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "state");
	jsonw_u64(&w, "pid", (uint64_t)c->target->pid);
	jsonw_u64(&w, "state", number);
	if (rs) {
		if (rs->runtime)
			jsonw_u64(&w, "runtime", rs->runtime);
		jsonw_addr(&w, "L", rs->L);
		jsonw_addr(&w, "g", rs->g);
		jsonw_str_known(&w, "label", strpool_get(c->pool, s->label));
		jsonw_str_known(&w, "allocator", rs->allocator);
		jsonw_str_known(&w, "gc_state", rs->gc_state);
	}
	if (s->done || rs)
		jsonw_u64(&w, "heap_bytes", s->done ? s->vm_bytes : rs->heap_bytes);
	jsonw_str(&w, "born", "before-attach");
	jsonw_bool(&w, "counted", s->done);
	if (s->done) {
		jsonw_str(&w, "layout", s->row->id);
		jsonw_s64(&w, "difference_bytes", s->difference);
		jsonw_u64(&w, "objects", s->objects);
		jsonw_u64(&w, "live_objects", s->live_objects);
		jsonw_u64(&w, "live_object_bytes", s->live_bytes);
		jsonw_u64(&w, "dead_objects", s->dead_objects);
		jsonw_u64(&w, "dead_bytes", s->dead_bytes);
		jsonw_u64(&w, "threads", s->coroutines);
		jsonw_bool(&w, "stopped", s->stopped);
	} else {
		jsonw_str_known(&w, "why_not", s->gone ? "it was closed meanwhile"
						       : strpool_get(c->pool, s->refused));
	}
	jsonw_end(&w);
}

static void write_path(struct jsonw *w, const struct census *c, const struct census_path *path)
{
	if (!path->n)
		return;
	jsonw_array(w, "path");
	for (unsigned int i = 0; i < path->n; i++)
		jsonw_str(w, NULL, strpool_get(c->pool, path->step[i]));
	jsonw_close(w, ']');
}

static void begin_object(struct jsonw *w, const struct census_process *p,
			 const struct census_state *s, const char *kind, FILE *out)
{
	jsonw_begin(w, out);
	jsonw_str(w, "type", "object");
	jsonw_u64(w, "pid", (uint64_t)p->census->target->pid);
	jsonw_u64(w, "state", p->first_state + s->index);
	jsonw_str(w, "kind", kind);
}

static void write_groups(const struct census_process *p, const struct census_state *s, FILE *out)
{
	const struct census *c = p->census;
	struct jsonw w;

	vec_each(g, &s->groups) {
		begin_object(&w, p, s, census_kind_name(g->kind), out);
		jsonw_u64(&w, "count", g->count);
		jsonw_u64(&w, "bytes", g->bytes);
		jsonw_str_known(&w, "origin", strpool_get(c->pool, g->origin));
		if (g->dead)
			jsonw_bool(&w, "dead", true);
		write_path(&w, c, &g->path);
		jsonw_end(&w);
	}
	for (unsigned int i = 0; i < CENSUS_PART_MAX; i++) {
		if (!s->part_bytes[i])
			continue;
		begin_object(&w, p, s, "vm", out);
		jsonw_u64(&w, "count", 1);
		jsonw_u64(&w, "bytes", s->part_bytes[i]);
		jsonw_str(&w, "origin", census_part_name(i));
		jsonw_end(&w);
	}
}

/* An object asked for by address is an `object`; those that hold most have a type of their own. */
static void write_holders(const struct census_process *p, const struct census_state *s, FILE *out)
{
	const struct census *c = p->census;
	struct jsonw w;

	vec_each(h, &s->holders) {
		jsonw_begin(&w, out);
		jsonw_str(&w, "type", h->asked_for ? "object" : "holder");
		jsonw_u64(&w, "pid", (uint64_t)c->target->pid);
		jsonw_u64(&w, "state", p->first_state + s->index);
		jsonw_str(&w, "kind", census_kind_name(h->kind));
		jsonw_addr(&w, "address", h->uaddr);
		jsonw_u64(&w, "count", 1);
		jsonw_u64(&w, "bytes", h->bytes);
		if (h->retained)
			jsonw_u64(&w, "retained_bytes", h->retained);
		jsonw_str_known(&w, "origin", strpool_get(c->pool, h->origin));
		if (h->dead)
			jsonw_bool(&w, "dead", true);
		write_path(&w, c, &h->path);
		jsonw_end(&w);
	}
}

static void write_evidence(struct jsonw *w, const struct census *c, const struct census_finding *f)
{
	jsonw_object(w, "evidence");
	if (f->kind == CENSUS_FOREIGN_NODES) {
		jsonw_str(w, "home_module", strpool_get(c->pool, f->owner));
		jsonw_str(w, "foreign_module", strpool_get(c->pool, f->foreign));
		jsonw_u64(w, "foreign_nodes", f->count);
		jsonw_addr(w, "table", f->uaddr);
		jsonw_bool(w, "frees_static_memory", f->crashes);
	} else {
		jsonw_addr(w, "ptr", f->target);
		jsonw_addr(w, "cdata", f->uaddr);
		jsonw_str_known(w, "ctype", strpool_get(c->pool, f->ctype));
		jsonw_str_known(w, "member", strpool_get(c->pool, f->field));
		jsonw_str(w, "block", f->wrong == CENSUS_PTR_FREED ? "freed"
				      : f->wrong == CENSUS_PTR_UNHELD ? "unheld" : "recycled");
		jsonw_str_known(w, "block_kind", strpool_get(c->pool, f->block_kind));
	}
	write_path(w, c, &f->path);
	jsonw_close(w, '}');
}

static void write_findings(const struct census_report *cr, const struct census_process *p,
			   const struct census_state *s, FILE *out)
{
	struct fmtbuf b;
	struct jsonw w;
	char text[1400];

	vec_each(f, &s->findings) {
		bool foreign = f->kind == CENSUS_FOREIGN_NODES;

		jsonw_begin(&w, out);
		jsonw_str(&w, "type", "finding");
		jsonw_str(&w, "kind", foreign ? "cross-runtime" : "use-after-free");
		jsonw_str(&w, "severity", foreign && f->crashes ? "error" : "warning");
		jsonw_str(&w, "confidence", foreign ? "likely" : "possible");
		jsonw_str(&w, "time", fmt_rfc3339(&b, cr->r->end_realtime_ns));
		jsonw_u64(&w, "pid", (uint64_t)p->census->target->pid);
		jsonw_u64(&w, "state", p->first_state + s->index);
		census_finding_text(p->census, f, text, sizeof(text));
		jsonw_str(&w, "message", text);
		write_evidence(&w, p->census, f);
		jsonw_array(&w, "stack");
		jsonw_close(&w, ']');
		jsonw_end(&w);
	}
}

static void write_rss_breakdown(const struct census_process *p, FILE *out)
{
	struct jsonw w;

	if (!p->rss_breakdown.rss_bytes)
		return;
	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "memory");
	jsonw_u64(&w, "pid", (uint64_t)p->census->target->pid);
	jsonw_u64(&w, "rss_bytes", p->rss_breakdown.rss_bytes);
	for (unsigned int i = 0; i < RSS_MAX; i++)
		if (p->rss_breakdown.bytes[i])
			jsonw_s64(&w, rss_part_key(i), p->rss_breakdown.bytes[i]);
	jsonw_end(&w);
}

static void write_end(const struct census_report *cr, FILE *out)
{
	uint64_t pause = 0, bytes = 0;
	struct fmtbuf b;
	struct jsonw w;

	for (size_t i = 0; i < cr->n; i++) {
		const struct copier *k = &cr->process[i].census->copier;

		pause = k->pause_ns > pause ? k->pause_ns : pause;
		bytes += cr->process[i].census->copied_bytes;
	}
	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "end");
	jsonw_str(&w, "time", fmt_rfc3339(&b, cr->r->end_realtime_ns));
	jsonw_bool(&w, "complete", census_report_complete(cr));
	for (size_t i = 0; i < cr->n; i++) {
		if (cr->process[i].failed || cr->process[i].census->not_stopped) {
			jsonw_str(&w, "reason", cr->process[i].failed ? cr->process[i].failed
					: cr->process[i].census->not_stopped);
			break;
		}
	}
	jsonw_object(&w, "lost");
	jsonw_close(&w, '}');
	jsonw_double(&w, "longest_pause_ms", (double)pause / 1e6);
	jsonw_u64(&w, "copied_bytes", bytes);
	jsonw_end(&w);
}

void census_write_json(const struct census_report *cr, FILE *out)
{
	json_write_header(cr->r, out);
	json_write_processes(cr->r, out);
	for (size_t i = 0; i < cr->n; i++) {
		const struct census_process *p = &cr->process[i];

		vec_each(s, &p->census->states) {
			write_state(cr, p, s, out);
			if (!s->done)
				continue;
			write_groups(p, s, out);
			write_holders(p, s, out);
		}
		write_rss_breakdown(p, out);
		vec_each(s, &p->census->states)
			write_findings(cr, p, s, out);
	}
	write_end(cr, out);
}
