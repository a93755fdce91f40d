-- Tables of version 3, character for character as files of that version have them: never edit,
-- a change of a table is a new version with a schema-N.sql of its own.
PRAGMA application_id = 1280136241;
PRAGMA user_version = 3;
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE process(pid INTEGER PRIMARY KEY, comm TEXT, exe TEXT, container TEXT, start_ns INTEGER) STRICT;
CREATE TABLE map(pid INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, offset INTEGER, path TEXT, deleted INTEGER, PRIMARY KEY(pid, start)) STRICT, WITHOUT ROWID;
CREATE TABLE runtime(pid INTEGER NOT NULL, runtime INTEGER NOT NULL, family TEXT, version TEXT, variant TEXT, module TEXT, build_id TEXT, layout TEXT, evidence TEXT, title TEXT, PRIMARY KEY(pid, runtime)) STRICT, WITHOUT ROWID;
CREATE TABLE function(pid INTEGER NOT NULL, runtime INTEGER NOT NULL, seq INTEGER NOT NULL, name TEXT, how TEXT, offset INTEGER, placed INTEGER, site_offset INTEGER, insn TEXT, emulated INTEGER, probed INTEGER, why_not TEXT, PRIMARY KEY(pid, runtime, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE snapshot(id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, detail INTEGER, last INTEGER, mode TEXT, events INTEGER, predates_attach_bytes INTEGER, ring_lost INTEGER, ns_per_event REAL, cpu_pct REAL, sample_bytes INTEGER, left_out INTEGER, end_reason TEXT, windows INTEGER, seen_pct REAL, full_pct REAL) STRICT;
CREATE TABLE lost(cause TEXT NOT NULL, snapshot INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(cause, snapshot)) STRICT, WITHOUT ROWID;
CREATE TABLE blind_spot(id INTEGER PRIMARY KEY, text TEXT NOT NULL, snapshot INTEGER NOT NULL) STRICT;
CREATE TABLE state(id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, state INTEGER NOT NULL, runtime INTEGER, main_addr INTEGER, global_addr INTEGER, label TEXT, allocator TEXT, gc_known INTEGER, before_attach INTEGER, born_ns INTEGER, closed_ns INTEGER) STRICT;
CREATE TABLE state_at(state INTEGER NOT NULL, snapshot INTEGER NOT NULL, present INTEGER NOT NULL, heap_known INTEGER, heap_bytes INTEGER, live_bytes INTEGER, live_blocks INTEGER, allocs INTEGER, frees INTEGER, reallocs INTEGER, failures INTEGER, alloc_bytes INTEGER, gc_cycles INTEGER, gc_state TEXT, heap_at_attach INTEGER, old_free_bytes INTEGER, lost_blocks INTEGER, lost_bytes INTEGER, PRIMARY KEY(state, snapshot)) STRICT, WITHOUT ROWID;
CREATE TABLE site(id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, state INTEGER NOT NULL, kind TEXT, line TEXT, name TEXT, approx INTEGER, below INTEGER) STRICT;
CREATE TABLE site_at(site INTEGER NOT NULL, snapshot INTEGER NOT NULL, present INTEGER NOT NULL, live_bytes INTEGER, live_blocks INTEGER, old_bytes INTEGER, allocs INTEGER, alloc_bytes INTEGER, survived_cycles INTEGER, growth_bytes_per_s REAL, verdict INTEGER, peak_bytes INTEGER, reallocs INTEGER, temporary_bytes INTEGER, PRIMARY KEY(site, snapshot)) STRICT, WITHOUT ROWID;
CREATE TABLE frame(id INTEGER PRIMARY KEY, line TEXT, name TEXT, approx INTEGER, tail INTEGER, jit INTEGER, thread INTEGER, truncated INTEGER, native TEXT, module TEXT, offset INTEGER, line_defined INTEGER) STRICT;
CREATE TABLE stack(id INTEGER PRIMARY KEY, site INTEGER NOT NULL, frames TEXT NOT NULL) STRICT;
CREATE TABLE stack_at(stack INTEGER NOT NULL, snapshot INTEGER NOT NULL, present INTEGER NOT NULL, rank INTEGER, samples INTEGER, error_pct REAL, live_bytes INTEGER, live_blocks INTEGER, old_bytes INTEGER, allocs INTEGER, alloc_bytes INTEGER, growth_bytes_per_s REAL, PRIMARY KEY(stack, snapshot)) STRICT, WITHOUT ROWID;
CREATE TABLE finding(id INTEGER PRIMARY KEY, snapshot INTEGER NOT NULL, kind TEXT, severity TEXT, confidence TEXT, time_ns INTEGER, pid INTEGER, tid INTEGER, state INTEGER, message TEXT, advice TEXT, count INTEGER, frames TEXT) STRICT;
CREATE TABLE evidence(finding INTEGER NOT NULL, seq INTEGER NOT NULL, key TEXT, form TEXT, n INTEGER, rate REAL, text TEXT, frames TEXT, PRIMARY KEY(finding, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE withdrawn(finding INTEGER PRIMARY KEY, snapshot INTEGER NOT NULL) STRICT;
CREATE TABLE object(snapshot INTEGER NOT NULL, seq INTEGER NOT NULL, pid INTEGER, state INTEGER, kind TEXT, dead INTEGER, count INTEGER, bytes INTEGER, origin TEXT, path TEXT, PRIMARY KEY(snapshot, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE census(snapshot INTEGER NOT NULL, seq INTEGER NOT NULL, pid INTEGER, state INTEGER, time_ns INTEGER, reason TEXT, why_not TEXT, heap_bytes INTEGER, held_objects INTEGER, held_bytes INTEGER, dead_objects INTEGER, dead_bytes INTEGER, pause_ns INTEGER, PRIMARY KEY(snapshot, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE holder(snapshot INTEGER NOT NULL, seq INTEGER NOT NULL, pid INTEGER, state INTEGER, kind TEXT, bytes INTEGER, retained_bytes INTEGER, origin TEXT, path TEXT, PRIMARY KEY(snapshot, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE event(id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, kind TEXT NOT NULL, pid INTEGER, state INTEGER, text TEXT) STRICT;
