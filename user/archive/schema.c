/* SPDX-License-Identifier: MIT */
#include "schema.h"

#include <string.h>

/*
 * Times are nanoseconds of CLOCK_REALTIME, sizes bytes, addresses as they are. NULL: unknown.
 *
 * What changes over time is kept as rows in a table X_at beside X, one row for each recorded
 * moment at which something changed. The value at a moment is that of the newest row up to it.
 */
static const struct schema_table tables[] = {
	{ "meta", 1, 0,
	  "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID" },
	{ "process", 1, 0,
	  "CREATE TABLE process(pid INTEGER PRIMARY KEY, comm TEXT, exe TEXT, container TEXT,"
	  " start_ns INTEGER) STRICT" },
	{ "memory", 4, 0,
	  "CREATE TABLE memory(pid INTEGER NOT NULL, snapshot INTEGER NOT NULL, rss_bytes INTEGER,"
	  " lua_bytes INTEGER, lua_garbage_bytes INTEGER, allocator_free_bytes INTEGER,"
	  " native_bytes INTEGER, allocator_overhead_bytes INTEGER, machine_code_bytes INTEGER,"
	  " stack_bytes INTEGER, file_bytes INTEGER, shared_bytes INTEGER, rest_bytes INTEGER,"
	  " free_known INTEGER, growth_known INTEGER, rss_growth_bytes_per_s REAL,"
	  " lua_growth_bytes_per_s REAL, native_growth_bytes_per_s REAL, limit_bytes INTEGER,"
	  " limit_left_bytes INTEGER, limit_kind TEXT, PRIMARY KEY(pid, snapshot)) STRICT, WITHOUT ROWID" },
	{ "map", 1, 0,
	  "CREATE TABLE map(pid INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,"
	  " offset INTEGER, path TEXT, deleted INTEGER, PRIMARY KEY(pid, start))"
	  " STRICT, WITHOUT ROWID" },
	{ "runtime", 1, 0,
	  "CREATE TABLE runtime(pid INTEGER NOT NULL, runtime INTEGER NOT NULL, family TEXT,"
	  " version TEXT, variant TEXT, module TEXT, build_id TEXT, layout TEXT, evidence TEXT,"
	  " title TEXT, PRIMARY KEY(pid, runtime)) STRICT, WITHOUT ROWID" },
	{ "function", 1, 0,
	  "CREATE TABLE function(pid INTEGER NOT NULL, runtime INTEGER NOT NULL,"
	  " seq INTEGER NOT NULL, name TEXT, how TEXT, offset INTEGER, placed INTEGER,"
	  " site_offset INTEGER, insn TEXT, emulated INTEGER, probed INTEGER, why_not TEXT,"
	  " PRIMARY KEY(pid, runtime, seq)) STRICT, WITHOUT ROWID" },
	{ "snapshot", 1, 2,
	  "CREATE TABLE snapshot(id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, detail INTEGER,"
	  " last INTEGER, mode TEXT, events INTEGER, predates_attach_bytes INTEGER,"
	  " ring_lost INTEGER, ns_per_event REAL, cpu_pct REAL, sample_bytes INTEGER,"
	  " left_out INTEGER, end_reason TEXT) STRICT" },
	{ "snapshot", 3, 0,
	  "CREATE TABLE snapshot(id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, detail INTEGER,"
	  " last INTEGER, mode TEXT, events INTEGER, predates_attach_bytes INTEGER,"
	  " ring_lost INTEGER, ns_per_event REAL, cpu_pct REAL, sample_bytes INTEGER,"
	  " left_out INTEGER, end_reason TEXT, windows INTEGER, seen_pct REAL, full_pct REAL)"
	  " STRICT" },
	{ "lost", 1, 0,
	  "CREATE TABLE lost(cause TEXT NOT NULL, snapshot INTEGER NOT NULL, n INTEGER NOT NULL,"
	  " PRIMARY KEY(cause, snapshot)) STRICT, WITHOUT ROWID" },
	{ "blind_spot", 1, 0,
	  "CREATE TABLE blind_spot(id INTEGER PRIMARY KEY, text TEXT NOT NULL,"
	  " snapshot INTEGER NOT NULL) STRICT" },
	{ "state", 1, 0,
	  "CREATE TABLE state(id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, state INTEGER NOT NULL,"
	  " runtime INTEGER, main_addr INTEGER, global_addr INTEGER, label TEXT, allocator TEXT,"
	  " gc_known INTEGER, before_attach INTEGER, born_ns INTEGER, closed_ns INTEGER) STRICT" },
	{ "state_at", 1, 0,
	  "CREATE TABLE state_at(state INTEGER NOT NULL, snapshot INTEGER NOT NULL,"
	  " present INTEGER NOT NULL, heap_known INTEGER, heap_bytes INTEGER, live_bytes INTEGER,"
	  " live_blocks INTEGER, allocs INTEGER, frees INTEGER, reallocs INTEGER, failures INTEGER,"
	  " alloc_bytes INTEGER, gc_cycles INTEGER, gc_state TEXT, heap_at_attach INTEGER,"
	  " old_free_bytes INTEGER, lost_blocks INTEGER, lost_bytes INTEGER,"
	  " PRIMARY KEY(state, snapshot)) STRICT, WITHOUT ROWID" },
	{ "site", 1, 0,
	  "CREATE TABLE site(id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, state INTEGER NOT NULL,"
	  " kind TEXT, line TEXT, name TEXT, approx INTEGER, below INTEGER) STRICT" },
	{ "site_at", 1, 1,
	  "CREATE TABLE site_at(site INTEGER NOT NULL, snapshot INTEGER NOT NULL,"
	  " present INTEGER NOT NULL, live_bytes INTEGER, live_blocks INTEGER, old_bytes INTEGER,"
	  " allocs INTEGER, alloc_bytes INTEGER, survived_cycles INTEGER, growth_bytes_per_s REAL,"
	  " verdict INTEGER, peak_bytes INTEGER, PRIMARY KEY(site, snapshot)) STRICT, WITHOUT ROWID" },
	{ "site_at", 2, 2,
	  "CREATE TABLE site_at(site INTEGER NOT NULL, snapshot INTEGER NOT NULL,"
	  " present INTEGER NOT NULL, live_bytes INTEGER, live_blocks INTEGER, old_bytes INTEGER,"
	  " allocs INTEGER, alloc_bytes INTEGER, survived_cycles INTEGER, growth_bytes_per_s REAL,"
	  " verdict INTEGER, peak_bytes INTEGER, reallocs INTEGER, PRIMARY KEY(site, snapshot))"
	  " STRICT, WITHOUT ROWID" },
	{ "site_at", 3, 0,
	  "CREATE TABLE site_at(site INTEGER NOT NULL, snapshot INTEGER NOT NULL,"
	  " present INTEGER NOT NULL, live_bytes INTEGER, live_blocks INTEGER, old_bytes INTEGER,"
	  " allocs INTEGER, alloc_bytes INTEGER, survived_cycles INTEGER, growth_bytes_per_s REAL,"
	  " verdict INTEGER, peak_bytes INTEGER, reallocs INTEGER, temporary_bytes INTEGER,"
	  " PRIMARY KEY(site, snapshot))"
	  " STRICT, WITHOUT ROWID" },
	{ "frame", 1, 0,
	  "CREATE TABLE frame(id INTEGER PRIMARY KEY, line TEXT, name TEXT, approx INTEGER,"
	  " tail INTEGER, jit INTEGER, thread INTEGER, truncated INTEGER, native TEXT, module TEXT,"
	  " offset INTEGER, line_defined INTEGER) STRICT" },
	{ "stack", 1, 0,
	  "CREATE TABLE stack(id INTEGER PRIMARY KEY, site INTEGER NOT NULL, frames TEXT NOT NULL)"
	  " STRICT" },
	{ "stack_at", 1, 0,
	  "CREATE TABLE stack_at(stack INTEGER NOT NULL, snapshot INTEGER NOT NULL,"
	  " present INTEGER NOT NULL, rank INTEGER, samples INTEGER, error_pct REAL, live_bytes INTEGER,"
	  " live_blocks INTEGER, old_bytes INTEGER, allocs INTEGER, alloc_bytes INTEGER,"
	  " growth_bytes_per_s REAL, PRIMARY KEY(stack, snapshot)) STRICT, WITHOUT ROWID" },
	{ "finding", 1, 0,
	  "CREATE TABLE finding(id INTEGER PRIMARY KEY, snapshot INTEGER NOT NULL,"
	  " kind TEXT, severity TEXT, confidence TEXT, time_ns INTEGER, pid INTEGER, tid INTEGER,"
	  " state INTEGER, message TEXT, advice TEXT, count INTEGER, frames TEXT) STRICT" },
	{ "evidence", 1, 0,
	  "CREATE TABLE evidence(finding INTEGER NOT NULL, seq INTEGER NOT NULL, key TEXT, form TEXT,"
	  " n INTEGER, rate REAL, text TEXT, frames TEXT, PRIMARY KEY(finding, seq))"
	  " STRICT, WITHOUT ROWID" },
	{ "withdrawn", 1, 0,
	  "CREATE TABLE withdrawn(finding INTEGER PRIMARY KEY, snapshot INTEGER NOT NULL) STRICT" },
	{ "object", 1, 2,
	  "CREATE TABLE object(snapshot INTEGER NOT NULL, seq INTEGER NOT NULL, pid INTEGER,"
	  " state INTEGER, kind TEXT, count INTEGER, bytes INTEGER, origin TEXT, path TEXT,"
	  " PRIMARY KEY(snapshot, seq)) STRICT, WITHOUT ROWID" },
	{ "object", 3, 0,
	  "CREATE TABLE object(snapshot INTEGER NOT NULL, seq INTEGER NOT NULL, pid INTEGER,"
	  " state INTEGER, kind TEXT, dead INTEGER, count INTEGER, bytes INTEGER, origin TEXT,"
	  " path TEXT, PRIMARY KEY(snapshot, seq)) STRICT, WITHOUT ROWID" },
	{ "census", 3, 0,
	  "CREATE TABLE census(snapshot INTEGER NOT NULL, seq INTEGER NOT NULL, pid INTEGER,"
	  " state INTEGER, time_ns INTEGER, reason TEXT, why_not TEXT, heap_bytes INTEGER,"
	  " held_objects INTEGER, held_bytes INTEGER, dead_objects INTEGER, dead_bytes INTEGER,"
	  " pause_ns INTEGER, PRIMARY KEY(snapshot, seq)) STRICT, WITHOUT ROWID" },
	{ "holder", 3, 0,
	  "CREATE TABLE holder(snapshot INTEGER NOT NULL, seq INTEGER NOT NULL, pid INTEGER,"
	  " state INTEGER, kind TEXT, bytes INTEGER, retained_bytes INTEGER, origin TEXT, path TEXT,"
	  " PRIMARY KEY(snapshot, seq)) STRICT, WITHOUT ROWID" },
	{ "event", 1, 0,
	  "CREATE TABLE event(id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, kind TEXT NOT NULL,"
	  " pid INTEGER, state INTEGER, text TEXT) STRICT" },
};
#define N_TABLES (sizeof(tables) / sizeof(tables[0]))

#define NEWEST_OF(at, id) \
	"(SELECT max(snapshot) FROM " at " WHERE " id ")"
#define TIME_OF(ns) "strftime('%Y-%m-%dT%H:%M:%fZ', nullif(" ns ", 0) / 1e9, 'unixepoch')"

/* As Lua calls a site's function: where the site has no name, its sampled stacks may. */
#define FUNCTION_OF(site) \
	"coalesce(" site ".name, (SELECT f.name FROM stack k JOIN frame f ON f.id =" \
	" CAST(k.frames AS INTEGER) WHERE k.site = " site ".id AND f.line = " site ".line AND" \
	" f.name IS NOT NULL LIMIT 1))"

#define CENSUS_TIME(row) \
	"(SELECT " TIME_OF("c.time_ns") " FROM census c WHERE c.snapshot = " row ".snapshot AND" \
	" c.pid = " row ".pid AND c.state = " row ".state)"

static const struct schema_view views[] = {
	{ "v_recording", "what was recorded, by what, when",
	  "SELECT key, value FROM meta" },
	{ "v_processes", "the processes",
	  "SELECT pid, comm, exe, container, " TIME_OF("start_ns") " AS started FROM process" },
	{ "v_memory", "where the resident memory of each process was, over time; the parts add up to it",
	  "SELECT t.time_ns, " TIME_OF("t.time_ns") " AS time, m.pid, m.rss_bytes, m.lua_bytes,"
	  " m.lua_garbage_bytes, CASE WHEN m.free_known THEN m.allocator_free_bytes END AS"
	  " allocator_free_bytes, m.native_bytes, m.allocator_overhead_bytes, m.machine_code_bytes,"
	  " m.stack_bytes, m.file_bytes, m.shared_bytes, m.rest_bytes,"
	  " CASE WHEN m.growth_known THEN m.rss_growth_bytes_per_s END AS rss_growth_bytes_per_s,"
	  " CASE WHEN m.growth_known THEN m.native_growth_bytes_per_s END AS native_growth_bytes_per_s,"
	  " CASE WHEN m.limit_kind IS NOT NULL THEN m.limit_bytes END AS limit_bytes, m.limit_kind"
	  " FROM memory m JOIN snapshot t ON t.id = m.snapshot ORDER BY t.time_ns, m.pid" },
	{ "v_maps", "their mappings, as they were at the start",
	  "SELECT pid, format('0x%x', start) AS start, format('0x%x', end) AS end, offset, path,"
	  " deleted FROM map" },
	{ "v_runtimes", "each copy of Lua in them, and how it was recognized",
	  "SELECT pid, runtime, title, family, version, variant, module, build_id, layout, evidence"
	  " FROM runtime" },
	{ "v_plan", "the functions looked for, found how, probed where",
	  "SELECT pid, runtime, name, probed, offset, site_offset, insn, emulated, how, why_not"
	  " FROM function ORDER BY pid, runtime, seq" },
	{ "v_snapshots", "the recorded moments",
	  "SELECT id AS snapshot, " TIME_OF("time_ns") " AS time, time_ns, detail, last, events,"
	  " end_reason, seen_pct FROM snapshot" },
	{ "v_states", "the lua_States, with their last figures",
	  "SELECT s.pid, s.state, s.runtime, format('0x%x', s.main_addr) AS L, s.label,"
	  " s.allocator, CASE WHEN a.heap_known THEN a.heap_bytes END AS heap_bytes, a.live_bytes,"
	  " a.live_blocks, a.allocs, a.frees, a.reallocs, a.failures, a.alloc_bytes, a.gc_cycles,"
	  " s.before_attach, " TIME_OF("s.born_ns") " AS born, " TIME_OF("s.closed_ns") " AS closed"
	  " FROM state s JOIN state_at a ON a.state = s.id"
	  " AND a.snapshot = " NEWEST_OF("state_at", "state = s.id") },
	{ "v_series", "heap, live bytes and GC cycles of each state over time",
	  "SELECT t.time_ns, " TIME_OF("t.time_ns") " AS time, s.pid, s.state,"
	  " CASE WHEN a.heap_known THEN a.heap_bytes END AS heap_bytes, a.live_bytes, a.live_blocks,"
	  " a.allocs, a.frees, a.alloc_bytes, a.gc_cycles"
	  " FROM state_at a JOIN state s ON s.id = a.state JOIN snapshot t ON t.id = a.snapshot"
	  " ORDER BY t.time_ns, s.id" },
	{ "v_sites", "the lines of Lua that allocate, with their last figures",
	  "SELECT s.id AS site, s.pid, s.state, s.kind, s.line, " FUNCTION_OF("s") " AS function,"
	  " a.live_bytes, a.live_blocks, a.old_bytes, a.peak_bytes, a.allocs, a.alloc_bytes, a.survived_cycles,"
	  " a.growth_bytes_per_s, CASE a.verdict WHEN 0 THEN 'young' WHEN 1 THEN 'stable'"
	  " WHEN 2 THEN 'growing' WHEN 3 THEN 'leak' END AS verdict"
	  " FROM site s JOIN site_at a ON a.site = s.id"
	  " AND a.snapshot = " NEWEST_OF("site_at", "site = s.id") " WHERE a.present"
	  " ORDER BY a.live_bytes DESC" },
	{ "v_site_series", "the same over time: a row for each change",
	  "SELECT t.time_ns, " TIME_OF("t.time_ns") " AS time, a.site, s.pid, s.state, s.kind, s.line,"
	  " a.live_bytes, a.live_blocks, a.old_bytes, a.allocs, a.alloc_bytes"
	  " FROM site_at a JOIN site s ON s.id = a.site JOIN snapshot t ON t.id = a.snapshot"
	  " ORDER BY t.time_ns" },
	{ "v_leaks", "the sites whose old bytes grow over collections, the biggest first",
	  "SELECT * FROM v_sites WHERE verdict IN ('leak', 'growing')"
	  " ORDER BY verdict DESC, growth_bytes_per_s DESC" },
	{ "v_stacks", "whole stacks and what falls to them; frames as numbers of v_frames, leaf first",
	  "SELECT k.id AS stack, k.site, s.pid, s.state, s.kind, k.frames, a.live_bytes,"
	  " a.live_blocks, a.allocs, a.alloc_bytes, a.samples, a.error_pct"
	  " FROM stack k JOIN site s ON s.id = k.site JOIN stack_at a ON a.stack = k.id"
	  " AND a.snapshot = " NEWEST_OF("stack_at", "stack = k.id") " WHERE a.present"
	  " ORDER BY a.live_bytes DESC" },
	{ "v_frames", "the frames of the stacks",
	  "SELECT id AS frame, line, name AS function, approx, tail, jit, native, module, offset"
	  " FROM frame" },
	{ "v_findings", "what is wrong, the worst first",
	  "SELECT id AS finding, kind, severity, confidence, " TIME_OF("time_ns") " AS time, pid, tid,"
	  " state, (SELECT line FROM frame WHERE id = CAST(f.frames AS INTEGER)) AS line, message,"
	  " advice, count FROM finding f WHERE id NOT IN"
	  " (SELECT finding FROM withdrawn w WHERE w.snapshot > f.snapshot)"
	  " ORDER BY CASE severity WHEN 'fatal' THEN 0 WHEN 'error' THEN 1 WHEN 'warning' THEN 2"
	  " ELSE 3 END, time_ns" },
	{ "v_evidence", "the evidence of each finding",
	  "SELECT finding, key, form, n, rate, text, frames FROM evidence ORDER BY finding, seq" },
	{ "v_censuses", "when whose heap was walked, and what it came to",
	  "SELECT " TIME_OF("time_ns") " AS time, pid, state, reason, heap_bytes, held_objects,"
	  " held_bytes, dead_objects, dead_bytes, pause_ns / 1e6 AS pause_ms, why_not, time_ns"
	  " FROM census ORDER BY snapshot, seq" },
	{ "v_objects", "census: what lay on the heap, and who held it",
	  "SELECT " CENSUS_TIME("o") " AS time, o.pid, o.state, o.kind, o.count, o.bytes,"
	  " o.origin, o.path, o.dead FROM object o ORDER BY o.snapshot, o.bytes DESC" },
	{ "v_holders", "census: the tables that keep most of a heap alive, and who holds them",
	  "SELECT " CENSUS_TIME("h") " AS time, h.pid, h.state, h.kind, h.retained_bytes, h.bytes,"
	  " h.origin, h.path FROM holder h ORDER BY h.snapshot, h.retained_bytes DESC" },
	{ "v_object_growth", "what grew on the heap from its first census to its last",
	  "SELECT b.pid, b.state, b.kind, b.origin, coalesce(a.bytes, 0) AS first_bytes,"
	  " b.bytes AS last_bytes, coalesce(a.count, 0) AS first_count, b.count AS last_count, b.path"
	  " FROM object b LEFT JOIN object a ON a.snapshot = (SELECT min(c.snapshot) FROM census c"
	  " WHERE c.pid = b.pid AND c.state = b.state AND c.why_not IS NULL) AND a.pid = b.pid AND"
	  " a.state = b.state AND a.kind = b.kind AND a.origin IS b.origin AND a.dead = b.dead"
	  " WHERE NOT b.dead AND b.snapshot = (SELECT max(c.snapshot) FROM census c WHERE"
	  " c.pid = b.pid AND c.state = b.state AND c.why_not IS NULL)"
	  " ORDER BY b.bytes - coalesce(a.bytes, 0) DESC" },
	{ "v_lost", "what was not recorded, by cause; empty means nothing was lost",
	  "SELECT cause, n FROM lost l WHERE snapshot ="
	  " " NEWEST_OF("lost", "cause = l.cause") " AND n > 0" },
	{ "v_blind_spots", "what could not be seen at all",
	  "SELECT text FROM blind_spot" },
	{ "v_events", "what happened while it was recorded: triggers, limits, ends",
	  "SELECT " TIME_OF("time_ns") " AS time, time_ns, kind, pid, state, text FROM event"
	  " ORDER BY time_ns, id" },
};
#define N_VIEWS (sizeof(views) / sizeof(views[0]))

const struct schema_table *schema_tables(size_t *n_ret)
{
	*n_ret = N_TABLES;
	return tables;
}

const struct schema_view *schema_views(size_t *n_ret)
{
	*n_ret = N_VIEWS;
	return views;
}

const struct schema_table *schema_find(const char *name, int version)
{
	for (size_t i = 0; i < N_TABLES; i++)
		if (!strcmp(tables[i].name, name) && tables[i].since <= version &&
		    (!tables[i].until || version <= tables[i].until))
			return &tables[i];
	return NULL;
}

const struct schema_view *schema_find_view(const char *name)
{
	for (size_t i = 0; i < N_VIEWS; i++)
		if (!strcmp(views[i].name, name))
			return &views[i];
	return NULL;
}
