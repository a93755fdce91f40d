/* SPDX-License-Identifier: MIT */
#include "archive_fields.h"

#include <math.h>
#include <string.h>


/*	X(column, field type, member, needed, max[, name_of]): the fields and their columns */
#define FIELD_OF(column, kind, member, needed, ...)                             \
	{ #column, FIELD_##kind, offsetof(struct FIELD_STRUCT, member), needed, \
	  FIELD_REST(__VA_ARGS__, NULL, ) },
#define FIELD_REST(max, name_of, ...) max, name_of
#define COLUMN_OF(column, kind, member, needed, ...) #column,

#define KEYS(...) __VA_ARGS__
#define PART(name, table_name, key_list, n_keys, LIST)                                          \
	static const char *const name##_columns[] = { key_list, LIST(COLUMN_OF) };              \
	static const struct field name##_fields[] = { LIST(FIELD_OF) };                         \
	_Static_assert(sizeof(name##_columns) / sizeof(char *) <= PART_COLUMNS, "PART_COLUMNS"); \
	const struct part part_##name = { table_name, name##_columns, n_keys, name##_fields,    \
					  sizeof(name##_fields) / sizeof(name##_fields[0]) };

#define PROCESS(X)                                  \
	X(comm, STR, comm, true, 0)                 \
	X(exe, STR, exe, true, 0)                   \
	X(container, STR, container, false, 0)      \
	X(start_ns, U64, start_realtime_ns, false, 0)
#define FIELD_STRUCT report_process
PART(process, "process", KEYS("pid"), 1, PROCESS)
#undef FIELD_STRUCT

#define MEMORY(X)                                                         \
	X(rss_bytes, U64, now.rss, false, 0)                              \
	X(lua_bytes, U64, now.part[MEMORY_LUA], false, 0)                 \
	X(lua_garbage_bytes, U64, now.part[MEMORY_GARBAGE], false, 0)     \
	X(allocator_free_bytes, U64, now.part[MEMORY_FREE], false, 0)     \
	X(native_bytes, U64, now.part[MEMORY_NATIVE], false, 0)           \
	X(allocator_overhead_bytes, U64, now.part[MEMORY_OVERHEAD], false, 0) \
	X(machine_code_bytes, U64, now.part[MEMORY_CODE], false, 0)       \
	X(stack_bytes, U64, now.part[MEMORY_STACK], false, 0)             \
	X(file_bytes, U64, now.part[MEMORY_FILE], false, 0)               \
	X(shared_bytes, U64, now.part[MEMORY_SHARED], false, 0)           \
	X(rest_bytes, U64, now.part[MEMORY_REST], false, 0)               \
	X(free_known, BOOL, free_known, false, 0)                         \
	X(growth_known, BOOL, growth_known, false, 0)                     \
	X(rss_growth_bytes_per_s, DOUBLE, growth[MEMORY_MAX], false, 0)   \
	X(lua_growth_bytes_per_s, DOUBLE, growth[MEMORY_LUA], false, 0)   \
	X(native_growth_bytes_per_s, DOUBLE, growth[MEMORY_NATIVE], false, 0) \
	X(limit_bytes, U64, limit.bytes, false, 0)                        \
	X(limit_left_bytes, U64, limit.left, false, 0)                    \
	X(limit_kind, STR, limit.what, false, 0)
#define FIELD_STRUCT report_memory
PART(memory, "memory", KEYS("pid", "snapshot"), 2, MEMORY)
#undef FIELD_STRUCT

#define RUNTIME(X)                                  \
	X(family, STR, family, true, 0)             \
	X(version, STR, version, false, 0)          \
	X(variant, STR, variant, false, 0)          \
	X(module, STR, module, true, 0)             \
	X(build_id, STR, build_id, false, 0)        \
	X(layout, STR, layout, false, 0)            \
	X(evidence, STR, evidence, false, 0)        \
	X(title, STR, title, true, 0)
#define FIELD_STRUCT report_runtime
PART(runtime, "runtime", KEYS("pid", "runtime"), 2, RUNTIME)
#undef FIELD_STRUCT

#define FUNCTION(X)                                 \
	X(name, STR, name, true, 0)                 \
	X(how, STR, how, false, 0)                  \
	X(offset, U64, offset, false, 0)            \
	X(placed, BOOL, placed, false, 0)           \
	X(site_offset, U64, site_offset, false, 0)  \
	X(insn, STR, insn, false, 0)                \
	X(emulated, BOOL, emulated, false, 0)       \
	X(probed, BOOL, probed, false, 0)           \
	X(why_not, STR, why_not, false, 0)
#define FIELD_STRUCT report_function
PART(function, "function", KEYS("pid", "runtime", "seq"), 3, FUNCTION)
#undef FIELD_STRUCT

#define SNAPSHOT(X)                                                \
	X(time_ns, U64, end_realtime_ns, false, 0)                 \
	X(last, BOOL, last, false, 0)                              \
	X(mode, STR, mode, false, 0)                               \
	X(events, U64, events, false, 0)                           \
	X(predates_attach_bytes, U64, predates_attach_bytes, false, 0) \
	X(ring_lost, U64, ring_lost, false, 0)                     \
	X(ns_per_event, DOUBLE, ns_per_event, false, 0)            \
	X(cpu_pct, DOUBLE, cpu_pct, false, 0)                      \
	X(sample_bytes, U64, sample_bytes, false, 0)               \
	X(end_reason, STR, end_reason, false, 0)                   \
	X(windows, BOOL, windows, false, 0)                        \
	X(seen_pct, DOUBLE, seen_pct, false, 0)                    \
	X(full_pct, DOUBLE, full_pct, false, 0)
#define FIELD_STRUCT report
PART(snapshot, "snapshot", KEYS("id", "detail", "left_out"), 3, SNAPSHOT)
#undef FIELD_STRUCT

#define STATE(X)                                    \
	X(pid, PID, pid, false, 0)                  \
	X(state, U32, state, false, 0)              \
	X(runtime, U32, runtime, false, 0)          \
	X(main_addr, U64, L, false, 0)              \
	X(global_addr, U64, g, false, 0)            \
	X(label, STR, label, false, 0)              \
	X(allocator, STR, allocator, false, 0)      \
	X(gc_known, BOOL, gc_known, false, 0)       \
	X(before_attach, BOOL, before_attach, false, 0) \
	X(born_ns, U64, born_realtime_ns, false, 0) \
	X(closed_ns, U64, closed_realtime_ns, false, 0)
#define STATE_AT(X)                                 \
	X(heap_known, BOOL, heap_known, false, 0)   \
	X(heap_bytes, U64, heap_bytes, false, 0)    \
	X(live_bytes, U64, live_bytes, false, 0)    \
	X(live_blocks, U64, live_blocks, false, 0)  \
	X(allocs, U64, allocs, false, 0)            \
	X(frees, U64, frees, false, 0)              \
	X(reallocs, U64, reallocs, false, 0)        \
	X(failures, U64, failures, false, 0)        \
	X(alloc_bytes, U64, alloc_bytes, false, 0)  \
	X(gc_cycles, U32, gc_cycles, false, 0)      \
	X(gc_state, STR, gc_state, false, 0)        \
	X(heap_at_attach, U64, heap_at_attach, false, 0) \
	X(old_free_bytes, U64, old_free_bytes, false, 0) \
	X(lost_blocks, U64, lost_blocks, false, 0)  \
	X(lost_bytes, U64, lost_bytes, false, 0)
#define FIELD_STRUCT report_state
PART(state, "state", KEYS("id"), 1, STATE)
PART(state_at, "state_at", KEYS("state", "snapshot", "present"), 3, STATE_AT)
#undef FIELD_STRUCT

#define SITE(X)                                     \
	X(pid, PID, pid, false, 0)                  \
	X(state, U32, state, false, 0)              \
	X(kind, STR, kind, true, 0)                 \
	X(line, STR, frame.lua, false, 0)           \
	X(name, STR, frame.name, false, 0)          \
	X(approx, BOOL, frame.approx, false, 0)     \
	X(below, BOOL, below, false, 0)
#define SITE_AT(X)                                  \
	X(live_bytes, U64, live_bytes, false, 0)    \
	X(live_blocks, U64, live_blocks, false, 0)  \
	X(old_bytes, U64, old_bytes, false, 0)      \
	X(allocs, U64, allocs, false, 0)            \
	X(alloc_bytes, U64, alloc_bytes, false, 0)  \
	X(survived_cycles, U32, survived_cycles, false, 0)        \
	X(growth_bytes_per_s, DOUBLE, growth_bytes_per_s, false, 0) \
	X(verdict, ENUM, verdict, false, VERDICT_LEAK + 1) \
	X(peak_bytes, U64, peak_bytes, false, 0)    \
	X(reallocs, U64, reallocs, false, 0)        \
	X(temporary_bytes, U64, temporary_bytes, false, 0)
#define FIELD_STRUCT report_site
PART(site, "site", KEYS("id"), 1, SITE)
PART(site_at, "site_at", KEYS("site", "snapshot", "present"), 3, SITE_AT)
#undef FIELD_STRUCT

#define FRAME(X)                                    \
	X(line, STR, lua, false, 0)                 \
	X(name, STR, name, false, 0)                \
	X(approx, BOOL, approx, false, 0)           \
	X(tail, BOOL, tail, false, 0)               \
	X(jit, BOOL, jit, false, 0)                 \
	X(thread, BOOL, thread, false, 0)           \
	X(truncated, BOOL, truncated, false, 0)     \
	X(native, STR, native, false, 0)            \
	X(module, STR, module, false, 0)            \
	X(offset, U64, offset, false, 0)            \
	X(line_defined, U32, line_defined, false, 0)
#define FIELD_STRUCT report_frame
PART(frame, "frame", KEYS("id"), 1, FRAME)
#undef FIELD_STRUCT

#define STACK(X)                                    \
	X(site, U64, site, false, 0)                \
	X(frames, STR, frames, true, 0)
#define STACK_AT(X)                                 \
	X(rank, U32, rank, false, 0)                \
	X(samples, U64, s.samples, false, 0)        \
	X(error_pct, DOUBLE, s.error_pct, false, 0) \
	X(live_bytes, U64, s.live_bytes, false, 0)  \
	X(live_blocks, U64, s.live_blocks, false, 0) \
	X(old_bytes, U64, s.old_bytes, false, 0)    \
	X(allocs, U64, s.allocs, false, 0)          \
	X(alloc_bytes, U64, s.alloc_bytes, false, 0) \
	X(growth_bytes_per_s, DOUBLE, s.growth_bytes_per_s, false, 0)
#define FIELD_STRUCT stored_stack
PART(stack, "stack", KEYS("id"), 1, STACK)
PART(stack_at, "stack_at", KEYS("stack", "snapshot", "present"), 3, STACK_AT)
#undef FIELD_STRUCT

static const char *kind_text(unsigned int v)
{
	return finding_kind_name((enum finding_kind)v);
}

static const char *severity_text(unsigned int v)
{
	return severity_name((enum severity)v);
}

static const char *confidence_text(unsigned int v)
{
	return confidence_name((enum confidence)v);
}

static const char *form_text(unsigned int v)
{
	static const char *const names[] = {
		[EVIDENCE_NUMBER] = "number", [EVIDENCE_SIGNED] = "signed",
		[EVIDENCE_ADDRESS] = "address", [EVIDENCE_TEXT] = "text",
		[EVIDENCE_STACK] = "stack", [EVIDENCE_RATE] = "rate", [EVIDENCE_PATH] = "path",
		[EVIDENCE_LINES] = "lines",
	};

	return names[v];
}

#define FINDING(X)                                  \
	X(kind, NAMED, kind, true, FINDING_MAX, kind_text) \
	X(severity, NAMED, severity, true, SEVERITY_FATAL + 1, severity_text) \
	X(confidence, NAMED, confidence, true, CONFIDENCE_CERTAIN + 1, confidence_text) \
	X(time_ns, U64, realtime_ns, false, 0)      \
	X(pid, PID, pid, false, 0)                  \
	X(tid, PID, tid, false, 0)                  \
	X(state, U32, state, false, 0)              \
	X(message, STR, message, true, 0)           \
	X(advice, STR, advice, true, 0)             \
	X(count, U64, count, false, 0)
#define FIELD_STRUCT report_finding
PART(finding, "finding", KEYS("id", "snapshot", "frames"), 3, FINDING)
#undef FIELD_STRUCT

#define EVIDENCE(X)                                 \
	X(key, STR, key, true, 0)                   \
	X(form, NAMED, type, true, EVIDENCE_TYPES, form_text) \
	X(n, BITS, n, false, 0)                     \
	X(rate, DOUBLE, rate, false, 0)             \
	X(text, STR, text, true, 0)
#define FIELD_STRUCT report_evidence
PART(evidence, "evidence", KEYS("finding", "seq", "frames"), 3, EVIDENCE)
#undef FIELD_STRUCT

#define CENSUS(X)                                   \
	X(pid, PID, pid, false, 0)                  \
	X(state, U32, state, false, 0)              \
	X(time_ns, U64, time_ns, false, 0)          \
	X(reason, STR, reason, true, 0)             \
	X(why_not, STR, why_not, false, 0)          \
	X(heap_bytes, U64, heap_bytes, false, 0)    \
	X(held_objects, U64, held_objects, false, 0) \
	X(held_bytes, U64, held_bytes, false, 0)    \
	X(dead_objects, U64, dead_objects, false, 0) \
	X(dead_bytes, U64, dead_bytes, false, 0)    \
	X(pause_ns, U64, pause_ns, false, 0)
#define FIELD_STRUCT report_census
PART(census, "census", KEYS("snapshot", "seq"), 2, CENSUS)
#undef FIELD_STRUCT

#define OBJECT(X)                                   \
	X(pid, PID, pid, false, 0)                  \
	X(state, U32, state, false, 0)              \
	X(kind, STR, kind, true, 0)                 \
	X(dead, BOOL, dead, false, 0)               \
	X(count, U64, count, false, 0)              \
	X(bytes, U64, bytes, false, 0)              \
	X(origin, STR, origin, false, 0)            \
	X(path, STR, path, false, 0)
#define FIELD_STRUCT report_object
PART(object, "object", KEYS("snapshot", "seq"), 2, OBJECT)
#undef FIELD_STRUCT

#define HOLDER(X)                                   \
	X(pid, PID, pid, false, 0)                  \
	X(state, U32, state, false, 0)              \
	X(kind, STR, kind, true, 0)                 \
	X(bytes, U64, bytes, false, 0)              \
	X(retained_bytes, U64, retained_bytes, false, 0) \
	X(origin, STR, origin, false, 0)            \
	X(path, STR, path, false, 0)
#define FIELD_STRUCT report_holder
PART(holder, "holder", KEYS("snapshot", "seq"), 2, HOLDER)
#undef FIELD_STRUCT

static const void *at(const struct field *f, const void *obj)
{
	return (const char *)obj + f->offset;
}

static struct cell get(const struct field *f, const void *obj)
{
	const void *p = at(f, obj);
	uint64_t n;

	switch (f->type) {
	case FIELD_U64:
		n = *(const uint64_t *)p;
		return cell_int(n > INT64_MAX ? INT64_MAX : (int64_t)n);
	case FIELD_U32:
		return cell_int(*(const uint32_t *)p);
	case FIELD_PID:
		return cell_int(*(const pid_t *)p);
	case FIELD_BOOL:
		return cell_int(*(const bool *)p);
	case FIELD_ENUM:
		return cell_int(*(const int *)p);
	case FIELD_DOUBLE:
		return cell_real(*(const double *)p);
	case FIELD_STR:
		return cell_text(*(const char *const *)p);
	case FIELD_NAMED:
		return cell_text(f->name_of(*(const unsigned int *)p));
	case FIELD_BITS:
		return cell_int((int64_t)*(const uint64_t *)p);
	}
	return (struct cell){ .type = CELL_NULL };
}

void part_get(const struct part *p, const void *obj, struct cell *cells)
{
	for (size_t i = 0; i < p->n; i++)
		cells[i] = get(&p->fields[i], obj);
}

static bool in_range(const struct field *f, int64_t n)
{
	switch (f->type) {
	case FIELD_U64:
		return n >= 0;
	case FIELD_U32:
		return n >= 0 && n <= UINT32_MAX;
	case FIELD_PID:
		return n >= 0 && n <= INT32_MAX;
	case FIELD_BOOL:
		return n == 0 || n == 1;
	case FIELD_ENUM:
		return n >= 0 && n < (int64_t)f->max;
	case FIELD_BITS:
		return true;
	case FIELD_DOUBLE:
	case FIELD_STR:
	case FIELD_NAMED:
		return false;
	}
	return false;
}

static void set_number(const struct field *f, void *p, int64_t n)
{
	switch (f->type) {
	case FIELD_U64:
	case FIELD_BITS:
		*(uint64_t *)p = (uint64_t)n;
		break;
	case FIELD_U32:
		*(uint32_t *)p = (uint32_t)n;
		break;
	case FIELD_PID:
		*(pid_t *)p = (pid_t)n;
		break;
	case FIELD_BOOL:
		*(bool *)p = n;
		break;
	case FIELD_ENUM:
		*(int *)p = (int)n;
		break;
	case FIELD_DOUBLE:
	case FIELD_STR:
	case FIELD_NAMED:
		break;
	}
}

static bool set_named(const struct field *f, unsigned int *p, const struct cell *c)
{
	for (unsigned int v = 0; c->type == CELL_TEXT && v < f->max; v++) {
		if (strcmp(c->text, f->name_of(v)))
			continue;
		*p = v;
		return true;
	}
	return false;
}

static bool set_text(const struct field *f, const char **p, const struct cell *c,
		     struct strpool *pool)
{
	const char *text = c->type == CELL_TEXT ? c->text : f->needed ? "" : NULL;

	if (c->type != CELL_TEXT && c->type != CELL_NULL)
		return false;
	*p = text ? strpool_get(pool, strpool_add(pool, text)) : NULL;
	return true;
}

static bool set(const struct field *f, void *obj, const struct cell *c, struct strpool *pool)
{
	void *p = (char *)obj + f->offset;

	if (f->type == FIELD_STR)
		return set_text(f, p, c, pool);
	if (f->type == FIELD_NAMED)
		return set_named(f, p, c);
	if (c->type == CELL_NULL)
		return true; /* stays 0: unknown */
	if (f->type == FIELD_DOUBLE) {
		*(double *)p = c->type == CELL_REAL ? c->real : (double)c->i;
		return c->type != CELL_TEXT && isfinite(*(double *)p);
	}
	if (c->type != CELL_INT || !in_range(f, c->i))
		return false;
	set_number(f, p, c->i);
	return true;
}

bool part_set(const struct part *p, void *obj, const struct cell *cells, struct strpool *pool)
{
	for (size_t i = 0; i < p->n; i++)
		if (!set(&p->fields[i], obj, &cells[i], pool))
			return false;
	return true;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

bool part_equal(const struct part *p, const void *a, const void *b)
{
	for (size_t i = 0; i < p->n; i++) {
		struct cell ca = get(&p->fields[i], a), cb = get(&p->fields[i], b);

		if (ca.type == CELL_TEXT || cb.type == CELL_TEXT ? !same_text(ca.text, cb.text) :
		    p->fields[i].type == FIELD_DOUBLE ? fabs(ca.real - cb.real) > 0 : ca.i != cb.i)
			return false;
	}
	return true;
}

void part_keep(const struct part *p, void *obj, struct strpool *pool)
{
	for (size_t i = 0; i < p->n; i++) {
		const char **text = (const char **)((char *)obj + p->fields[i].offset);

		if (p->fields[i].type == FIELD_STR && *text)
			*text = strpool_get(pool, strpool_add(pool, *text));
	}
}
