/* SPDX-License-Identifier: MIT */
/*
 * The descendants of the processes that were asked for: servers are often named by a master or a
 * supervisor that runs no Lua, or none that matters. Those that are there are looked at, those to
 * come are told of by the kernel.
 */
#include "follow.h"

#include <errno.h>

#include "base/log.h"
#include "discover/family.h"
#include "session.h"

static int open_if_lua(struct session *s, pid_t pid, struct errmsg *err)
{
	struct target *t;
	struct errmsg why;
	int rc = 0;

	if (session_target_of_pid(s, pid) || target_open(pid, &t, &why))
		return 0; /* asked for by itself; or ended, or not ours to read */
	if (resolve_has_lua(t, &s->files))
		rc = session_open_target(s, pid, false, NULL, &why);
	target_free(t);
	return rc == -ENOMEM ? errmsg_set(err, rc, "out of memory") : 0;
}

static bool runs_lua(struct session *s, pid_t pid)
{
	const struct session_target *t = session_target_of_pid(s, pid);

	return t && t->resolved->runtimes.n;
}

/* Of one that was asked for. */
static int open_family(struct session *s, pid_t pid, struct errmsg *err)
{
	const struct session_target *t = session_target_of_pid(s, pid);
	bool any = runs_lua(s, pid);
	pid_list family = { 0 };
	int rc = family_descendants(pid, &family);

	if (rc)
		errmsg_set(err, rc, "out of memory");
	for (size_t i = 0; !rc && i < family.n; i++) {
		rc = open_if_lua(s, family.v[i], err);
		any |= runs_lua(s, family.v[i]);
	}
	if (!rc && t && !any)
		rc = errmsg_set(err, -ESRCH, "process %d (%s) runs no Lua%s; 'luamemtrace list' shows "
				"those that do", pid, t->target->info.comm,
				family.n ? ", nor do its descendants" : "");
	vec_deinit(&family);
	return rc;
}

int follow_open_family(struct session *s, struct errmsg *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < s->cfg.n_pids; i++)
		rc = open_family(s, s->cfg.pids[i], err);
	return rc;
}

static bool watch(struct session *s, pid_t pid)
{
	if (!attach_follow(s->attach, pid, LMT_FOLLOW))
		return true;
	log_warn("not all descendants are followed: there are more than can be; of process %d and later "
		 "ones new children are not traced", pid);
	return false;
}

static void start_family(struct session *s, pid_t pid)
{
	pid_list family = { 0 };
	bool room = watch(s, pid);

	if (family_descendants(pid, &family))
		log_warn("out of memory");
	for (size_t i = 0; i < family.n; i++) {
		room = room && watch(s, family.v[i]);
		if (!session_target_of_pid(s, family.v[i]))
			follow_add(s, family.v[i], 0, true);
	}
	vec_deinit(&family);
}

void follow_start_family(struct session *s)
{
	for (size_t i = 0; s->cfg.children && i < s->cfg.n_pids; i++)
		start_family(s, s->cfg.pids[i]);
}
