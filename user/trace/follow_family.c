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

static bool runs_lua(const struct session *s)
{
	vec_each(t, &s->targets.all)
		if (t->resolved->runtimes.n)
			return true;
	return false;
}

static int no_lua(const struct session *s, size_t descendants, struct errmsg *err)
{
	const struct target *t = s->targets.all.v[0].target;

	return errmsg_set(err, -ESRCH,
			  "process %d (%s) runs no Lua%s; 'luamemtrace list' shows those that do",
			  t->pid, t->info.comm, descendants ? ", nor do its descendants" : "");
}

int follow_open_family(struct session *s, struct errmsg *err)
{
	size_t looked_at = 0;
	pid_list family = { 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < s->cfg.n_pids; i++) {
		rc = family_descendants(s->cfg.pids[i], &family);
		if (rc)
			errmsg_set(err, rc, "out of memory");
		looked_at += family.n;
		for (size_t k = 0; !rc && k < family.n; k++)
			rc = open_if_lua(s, family.v[k], err);
	}
	vec_deinit(&family);
	return !rc && s->targets.all.n && !runs_lua(s) ? no_lua(s, looked_at, err) : rc;
}

static void watch(struct session *s, pid_t pid)
{
	if (attach_follow(s->attach, pid, LMT_FOLLOW))
		log_warn("children of process %d are not followed: too many", pid);
}

void follow_start_family(struct session *s)
{
	pid_list family = { 0 };

	for (size_t i = 0; i < s->cfg.n_pids && s->cfg.children; i++) {
		watch(s, s->cfg.pids[i]);
		if (family_descendants(s->cfg.pids[i], &family))
			log_warn("out of memory");
		for (size_t k = 0; k < family.n; k++) {
			watch(s, family.v[k]);
			if (!session_target_of_pid(s, family.v[k]))
				follow_add(s, family.v[k], 0, true);
		}
	}
	vec_deinit(&family);
}
