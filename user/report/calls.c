/* SPDX-License-Identifier: MIT */
#include "calls.h"

#include <inttypes.h>

#include "base/escape.h"
#include "base/fmt.h"
#include "event.h"
#include "jsonw.h"

static const char *op_name(uint32_t op)
{
	switch (op) {
	case LMT_CALL_ALLOC:
		return "alloc";
	case LMT_CALL_REALLOC:
		return "realloc";
	case LMT_CALL_FREE:
		return "free";
	case LMT_CALL_REFUSED:
		return "refused";
	default:
		return "unknown";
	}
}

void calls_write_heading(FILE *out)
{
	fprintf(out, "%12s %7s %7s %5s %-7s %10s %10s  %-14s  %-8s  %s\n", "seconds", "pid", "tid",
		"state", "call", "old bytes", "new bytes", "block", "kind", "where");
}

void calls_write_text(const struct report_call *c, FILE *out)
{
	const char *lua = c->frame.lua;
	char where[400];

	fprintf(out,
		"%5" PRIu64 ".%06" PRIu64 " %7d %7d %5" PRIu32 " %-7s %10" PRIu64 " %10" PRIu64,
		c->since_start_ns / 1000000000u, c->since_start_ns / 1000 % 1000000u, c->pid,
		c->tid, c->state, op_name(c->op), c->osize, c->nsize);
	fprintf(out, "  0x%012" PRIx64 "  %-8s  ", c->ptr ? c->ptr : c->old_ptr, c->kind ? c->kind : "");
	if (lua)
		escape_term(where, sizeof(where), fmt_chunk(lua));
	fprintf(out, "%s%s\n", lua ? where : "", c->frame.approx ? " (approximate)" : "");
}

void calls_write_json(const struct report_call *c, FILE *out)
{
	struct fmtbuf b;
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "call");
	jsonw_str(&w, "time", fmt_rfc3339(&b, c->realtime_ns));
	jsonw_u64(&w, "pid", (uint64_t)c->pid);
	jsonw_u64(&w, "tid", (uint64_t)c->tid);
	jsonw_u64(&w, "state", c->state);
	jsonw_str(&w, "call", op_name(c->op));
	if (c->ptr)
		jsonw_addr(&w, "ptr", c->ptr);
	if (c->old_ptr && c->old_ptr != c->ptr)
		jsonw_addr(&w, "old_ptr", c->old_ptr);
	if (c->old_ptr)
		jsonw_u64(&w, "osize", c->osize);
	if (c->op != LMT_CALL_FREE)
		jsonw_u64(&w, "nsize", c->nsize);
	jsonw_str_known(&w, "kind", c->kind);
	if (c->frame.lua) {
		jsonw_array(&w, "stack");
		jsonw_object(&w, NULL);
		jsonw_str(&w, "lua", c->frame.lua);
		jsonw_str_known(&w, "name", c->frame.name);
		if (c->frame.approx)
			jsonw_bool(&w, "approx", true);
		jsonw_close(&w, '}');
		jsonw_close(&w, ']');
	}
	jsonw_end(&w);
}
