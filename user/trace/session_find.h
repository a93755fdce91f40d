/* SPDX-License-Identifier: MIT */
/*
 * session_find: gives names to what the BPF side noticed, and keeps what that takes up to date:
 * where modules lie, which C functions are watched. L8 trace.
 */
#ifndef LMT_TRACE_SESSION_FIND_H
#define LMT_TRACE_SESSION_FIND_H

#include "session.h"

/* Before the probes stand: modules of the target, the watched functions of the options. */
int session_find_start(struct session *s, struct session_target *t, struct errmsg *err);

/* Something was noticed; e is a struct lmt_finding. */
int session_on_finding(struct session *s, struct session_target *t, const struct lmt_event *e);

/* Has some state of the process loaded the FFI library? */
bool session_uses_ffi(const struct session_target *t);

/* A place that makes states, with its stack. 0 or -ENOMEM. */
int session_on_creator(struct session *s, struct session_target *t, const struct lmt_native *e);

/* The process uses the FFI. */
void session_on_ffi(struct session *s, struct session_target *t);

/*
 * May a C function get a pointer by this argument (0 …)? The FFI's call says no number of them,
 * and what it does not use of its registers holds anything.
 */
bool session_passes_pointer(struct session *s, struct session_target *t, uint64_t function,
			    unsigned int argument);

/* Its modules changed; they were read again. */
void session_on_modules(struct session *s, struct session_target *t);

/* After a snapshot was applied: what shows in the ledger as a whole. */
void session_find_look(struct session *s, struct snapshot *snap, bool last);

/* Those of a closed state's blocks that malloc() got back by other ways are taken out. */
void session_check_orphans(struct session *s, struct snapshot *snap);

/* Copies of Lua without a state of their own: are they at work on another's? */
void session_watch_copies(struct session *s, struct session_target *t);

/*
 * Is malloc() to be followed? Then it is, in the processes whose Lua is known and that are not
 * yet.
 */
bool session_wants_c_heap(const struct session *s);
void session_follow_c_heap(struct session *s);
/*
 * How many functions there are to follow, and in which files; what cannot be is noted in the plan.
 */
size_t session_look_for_c_heap(struct session *s, struct session_target *t, char *where,
			       size_t size);
/* Looks up which function it was that took what may be a leak. */
void session_name_c_code(struct session *s);

/* The function that a return address lies in, as far as the file or the resolver says. */
struct named_address session_name_caller(struct session *s, struct session_target *t, uint64_t ip);

/* What their program calls the states that have no name yet. */
void session_label_states(struct session *s, uint64_t now_ns);
/*
 * Of states that are closed before they are asked: the probe on lua_close() reads it, where it
 * can.
 */
void session_ask_labels(const struct session_target *t, struct plan *plan);
void session_on_label(struct session *s, struct session_target *t, const struct lmt_label *e);

/* True unless the options do not want the finding. */
bool session_wants_finding(const struct session *s, const struct finding *f);

#endif
