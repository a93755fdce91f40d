/* SPDX-License-Identifier: MIT */
/*
 * A heap profile as google/pprof's profile.proto (proto/profile.proto), gzipped: the four sample
 * types of Go's heap profile, in its order, so that every consumer of those knows what to do.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/hashmap.h"
#include "base/strpool.h"
#include "flame.h"
#include "pbw.h"

enum { /* Profile */
	P_SAMPLE_TYPE = 1, P_SAMPLE, P_MAPPING, P_LOCATION, P_FUNCTION, P_STRING, P_DROP, P_KEEP,
	P_TIME, P_DURATION, P_PERIOD_TYPE, P_PERIOD, P_COMMENT, P_DEFAULT_TYPE,
};
enum { VT_TYPE = 1, VT_UNIT };
enum { S_LOCATION = 1, S_VALUE, S_LABEL };
enum { L_KEY = 1, L_STR, L_NUM, L_NUM_UNIT };
enum { M_ID = 1, M_START, M_LIMIT, M_OFFSET, M_FILE, M_BUILD_ID, M_HAS_FUNCTIONS, M_HAS_FILES,
       M_HAS_LINES };
enum { LOC_ID = 1, LOC_MAPPING, LOC_ADDRESS, LOC_LINE };
enum { LINE_FUNCTION = 1, LINE_LINE };
enum { F_ID = 1, F_NAME, F_SYSTEM_NAME, F_FILE, F_START_LINE };

#define MAX_FRAMES 300

/* A string table: index 0 is the empty string, the rest in order of first use. */
struct strings {
	struct strpool *pool;
	vec_of(uint32_t) order;
	struct hashmap index; /* pool id → index */
};

struct pprof {
	const struct report *r;
	struct pbw out, inner, inner2;
	struct strings s;
	struct hashmap locations; /* frame index + 1 → id */
	struct hashmap functions; /* (name, file, line) → id */
	struct hashmap mappings;  /* string of the module → id */
	uint64_t n_locations, n_functions, n_mappings;
	int rc;
};

/* Target text is kept as it is, as far as it is UTF-8, which the format demands. */
static uint64_t string(struct pprof *p, const char *text)
{
	size_t size = strlen(text) * 4 + 1;
	auto_free char *clean = malloc(size);
	uint64_t *at;
	uint32_t id;

	if (!*text || !clean)
		return 0;
	escape_term(clean, size, text);
	id = strpool_add(p->s.pool, clean);
	at = id ? hashmap_get_or_add(&p->s.index, id) : NULL;
	if (!at || (!*at && vec_push(&p->s.order, id))) {
		p->rc = -ENOMEM;
		return 0;
	}
	if (!*at)
		*at = p->s.order.n;
	return *at;
}

static void value_type(struct pprof *p, unsigned int field, const char *type, const char *unit)
{
	pbw_clear(&p->inner);
	pbw_u64(&p->inner, VT_TYPE, string(p, type));
	pbw_u64(&p->inner, VT_UNIT, string(p, unit));
	pbw_message(&p->out, field, &p->inner);
}

static const char *build_id_of(const struct report *r, const char *module)
{
	vec_each(rt, &r->runtimes)
		if (rt->module && !strcmp(rt->module, module))
			return rt->build_id ? rt->build_id : "";
	return "";
}

/* mapping[0] is taken for the program itself: it is written first. */
static uint64_t mapping(struct pprof *p, const char *module)
{
	uint64_t file = string(p, module), *at;

	at = file ? hashmap_get_or_add(&p->mappings, file) : NULL;
	if (!at)
		return 0;
	if (*at)
		return *at;
	*at = ++p->n_mappings;
	pbw_clear(&p->inner);
	pbw_u64(&p->inner, M_ID, *at);
	/* Where it lies does not matter: addresses are offsets in the file, apart by mapping. */
	pbw_u64(&p->inner, M_START, *at << 40);
	pbw_u64(&p->inner, M_LIMIT, (*at << 40) + (1ull << 39));
	pbw_u64(&p->inner, M_FILE, file);
	pbw_u64(&p->inner, M_BUILD_ID, string(p, build_id_of(p->r, module)));
	pbw_u64(&p->inner, M_HAS_FUNCTIONS, 1);
	pbw_message(&p->out, P_MAPPING, &p->inner);
	return *at;
}

static uint64_t function(struct pprof *p, const char *name, const char *file, uint64_t start_line)
{
	uint64_t n = string(p, name), f = string(p, file), *at;

	at = hashmap_get_or_add(&p->functions, (n << 40 | f << 20 | (start_line & 0xfffff)) + 1);
	if (!at)
		return 0;
	if (*at)
		return *at;
	*at = ++p->n_functions;
	pbw_clear(&p->inner);
	pbw_u64(&p->inner, F_ID, *at);
	pbw_u64(&p->inner, F_NAME, n);
	pbw_u64(&p->inner, F_SYSTEM_NAME, n);
	pbw_u64(&p->inner, F_FILE, f);
	pbw_u64(&p->inner, F_START_LINE, start_line);
	pbw_message(&p->out, P_FUNCTION, &p->inner);
	return *at;
}

/* "@app.lua:12" → "app.lua" and 12. */
static uint64_t split_where(const char *where, char *file, size_t size)
{
	const char *colon = strrchr(where, ':');
	size_t len;

	if (colon && (!colon[1] || colon[1 + strspn(colon + 1, "0123456789")]))
		colon = NULL; /* no line is known */
	len = colon ? (size_t)(colon - where) : strlen(where);
	if (*where == '@' || *where == '=') {
		where++;
		len--;
	}
	if (len >= size)
		len = size - 1;
	memcpy(file, where, len);
	file[len] = '\0';
	return colon ? strtoull(colon + 1, NULL, 10) : 0;
}

/* Functions without a name are told apart by where they begin, as Lua's traceback does. */
static uint64_t lua_function(struct pprof *p, const struct report_frame *f, const char *file)
{
	const char *slash = strrchr(file, '/');
	char name[1400];

	if (f->name)
		return function(p, f->name, file, f->line_defined);
	/* Not in brackets: pprof takes what is in them for type parameters and drops it. */
	snprintf(name, sizeof(name), f->line_defined ? "function %s:%u" : "main chunk %s",
		 slash ? slash + 1 : file, f->line_defined);
	return function(p, name, file, f->line_defined);
}

static void write_location(struct pprof *p, uint64_t id, const struct report_frame *f)
{
	uint64_t map = 0, address = 0, line = 0, fn;
	char file[1400], name[1400];

	if (f->lua) {
		line = split_where(f->lua, file, sizeof(file));
		fn = lua_function(p, f, file);
	} else {
		flame_frame_text(f, name, sizeof(name));
		fn = function(p, name, f->module ? f->module : "", 0);
		map = f->module ? mapping(p, f->module) : 0;
		address = map ? (map << 40) + f->offset : 0;
	}
	pbw_clear(&p->inner2);
	pbw_u64(&p->inner2, LINE_FUNCTION, fn);
	pbw_u64(&p->inner2, LINE_LINE, line);
	pbw_clear(&p->inner);
	pbw_u64(&p->inner, LOC_ID, id);
	pbw_u64(&p->inner, LOC_MAPPING, map);
	pbw_u64(&p->inner, LOC_ADDRESS, address);
	pbw_message(&p->inner, LOC_LINE, &p->inner2);
	pbw_message(&p->out, P_LOCATION, &p->inner);
}

/* key: names the frame; the same frame is one location. */
static uint64_t location(struct pprof *p, uint64_t key, const struct report_frame *f)
{
	uint64_t *at = hashmap_get_or_add(&p->locations, key), id;

	if (!at) {
		p->rc = -ENOMEM;
		return 0;
	}
	if (*at)
		return *at;
	*at = id = ++p->n_locations;
	write_location(p, id, f);
	return id;
}

static void label(struct pprof *p, struct pbw *sample, const char *key, const char *text,
		  uint64_t number)
{
	pbw_clear(&p->inner);
	pbw_u64(&p->inner, L_KEY, string(p, key));
	if (text)
		pbw_u64(&p->inner, L_STR, string(p, text));
	else
		pbw_u64(&p->inner, L_NUM, number);
	pbw_message(sample, S_LABEL, &p->inner);
}

static const char *vm_of(const struct report *r, const struct report_site *s)
{
	vec_each(st, &r->states) {
		if (st->pid != s->pid || st->state != s->state)
			continue;
		vec_each(rt, &r->runtimes)
			if (rt->pid == s->pid && rt->runtime == st->runtime)
				return rt->title;
	}
	return NULL;
}

static void write_labels(struct pprof *p, struct pbw *sample, const struct report_site *s,
			 const uint64_t v[4])
{
	char text[32];
	const char *vm = vm_of(p->r, s);

	label(p, sample, "kind", s->kind, 0);
	snprintf(text, sizeof(text), "%u", s->state);
	label(p, sample, "state", text, 0);
	if (vm)
		label(p, sample, "vm", vm, 0);
	if (p->r->processes.n > 1) {
		snprintf(text, sizeof(text), "%d", s->pid);
		label(p, sample, "pid", text, 0);
	}
	if (s->verdict >= VERDICT_GROWING)
		label(p, sample, "verdict", verdict_name(s->verdict), 0);
	if (v[0])
		label(p, sample, "bytes", NULL, v[1] / v[0]);
}

/* st NULL: only the innermost Lua line is known, or nothing. */
static void write_sample(struct pprof *p, const struct report_site *s,
			 const struct report_stack *st, const uint64_t v[4])
{
	static const struct report_frame none = { .native = "no Lua code on the stack" };
	const struct report *r = p->r;
	uint64_t ids[MAX_FRAMES], top = (uint64_t)(s - r->sites.v) + 1;
	struct pbw sample = { .rc = 0 };
	size_t n = 0;

	if (!v[0] && !v[1] && !v[2] && !v[3])
		return;
	for (uint32_t i = 0; st && i < st->n && n < MAX_FRAMES; i++)
		ids[n++] = location(p, r->stack_frames.v[st->first + i] + 1ull,
				    report_frame_at(r, st, i));
	if (!n)
		ids[n++] = location(p, s->frame.lua ? top << 32 : 1ull << 63,
				    s->frame.lua ? &s->frame : &none);
	pbw_packed(&sample, S_LOCATION, ids, n);
	pbw_packed(&sample, S_VALUE, v, 4);
	write_labels(p, &sample, s, v);
	pbw_message(&p->out, P_SAMPLE, &sample);
	pbw_deinit(&sample);
}

static void write_samples(struct pprof *p)
{
	vec_each(s, &p->r->sites) {
		uint64_t whole[] = { report_scaled(p->r, s->allocs),
				     report_scaled(p->r, s->alloc_bytes),
				     s->live_blocks, s->live_bytes };

		if (!s->n_stacks)
			write_sample(p, s, NULL, whole);
		for (uint32_t i = 0; i < s->n_stacks; i++) {
			const struct report_stack *st = &p->r->stacks.v[s->first_stack + i];
			uint64_t v[] = { report_scaled(p->r, st->allocs),
					 report_scaled(p->r, st->alloc_bytes), st->live_blocks,
					 st->live_bytes };

			write_sample(p, s, st, v);
		}
	}
}

static void build(struct pprof *p)
{
	static const enum metric order[] = { METRIC_ALLOC_OBJECTS, METRIC_ALLOC_SPACE,
					     METRIC_INUSE_OBJECTS, METRIC_INUSE_SPACE };
	const struct report *r = p->r;

	for (int i = 0; i < METRIC_MAX; i++)
		value_type(p, P_SAMPLE_TYPE, metric_name(order[i]), metric_unit(order[i]));
	if (r->processes.n && r->processes.v[0].exe)
		mapping(p, r->processes.v[0].exe);
	write_samples(p);
	value_type(p, P_PERIOD_TYPE, "space", "bytes");
	pbw_u64(&p->out, P_PERIOD, r->sample_bytes ? r->sample_bytes : 1);
	pbw_u64(&p->out, P_TIME, r->end_realtime_ns);
	pbw_u64(&p->out, P_DURATION, r->end_realtime_ns - r->start_realtime_ns);
	pbw_u64(&p->out, P_DEFAULT_TYPE, string(p, metric_name(METRIC_INUSE_SPACE)));
	if (r->windows)
		pbw_u64(&p->out, P_COMMENT, string(p, "estimated: the calls were seen in windows"));
	else if (!report_complete(r))
		pbw_u64(&p->out, P_COMMENT, string(p, "incomplete: not every allocation was seen"));
	pbw_str(&p->out, P_STRING, "");
	vec_each(id, &p->s.order)
		pbw_str(&p->out, P_STRING, strpool_get(p->s.pool, *id));
}

static int write_gzip(const struct pbw *w, FILE *out)
{
	z_stream z = { .next_in = w->bytes.v, .avail_in = (uInt)w->bytes.n };
	unsigned char buf[16384];
	int rc =
		deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);

	if (rc != Z_OK)
		return -ENOMEM;
	do {
		z.next_out = buf;
		z.avail_out = sizeof(buf);
		rc = deflate(&z, Z_FINISH);
		fwrite(buf, 1, sizeof(buf) - z.avail_out, out);
	} while (rc == Z_OK || rc == Z_BUF_ERROR);
	deflateEnd(&z);
	return rc == Z_STREAM_END ? 0 : -EIO;
}

int pprof_write(const struct report *r, FILE *out)
{
	struct pprof p = { .r = r };
	int rc;

	p.s.pool = strpool_new();
	if (!p.s.pool)
		return -ENOMEM;
	build(&p);
	rc = p.rc ? p.rc : p.out.rc ? p.out.rc : write_gzip(&p.out, out);
	strpool_free(p.s.pool);
	vec_deinit(&p.s.order);
	hashmap_deinit(&p.s.index);
	hashmap_deinit(&p.locations);
	hashmap_deinit(&p.functions);
	hashmap_deinit(&p.mappings);
	pbw_deinit(&p.out);
	pbw_deinit(&p.inner);
	pbw_deinit(&p.inner2);
	return rc;
}
