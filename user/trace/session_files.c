/* SPDX-License-Identifier: MIT */
/*
 * Files in the long run. What was read of them is given up when nobody asks for it; and a file
 * that no process has mapped any more is closed, with its probes, for we would keep its inode, and
 * the file system of a container that is gone, for as long as we live.
 */
#include "session.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

#define S 1000000000ull
#define REST_NS (10 * S)
#define FORGET_NS (150 * S) /* longer than the longest pause between two looks at a process */

/* The environment can shorten it, for tests. */
static uint64_t forget_ns(void)
{
	const char *s = getenv("LUAMEMTRACE_FORGET");

	return s && atoi(s) > 0 ? (uint64_t)atoi(s) * S : FORGET_NS;
}

/*
 * Those that live have their files; others are looked at now and then, if they are of interest at
 * all.
 */
static void see_files(struct session *s)
{
	vec_each(t, &s->targets.all) {
		if (session_target_ended(t))
			continue;
		vec_each(m, &t->target->modules)
			files_get(&s->files, m);
	}
}

/* The last report asks for the files of those that ended. */
static void hold_files(struct session *s)
{
	vec_each(t, &s->targets.all) {
		if (!t->resolved)
			continue;
		vec_each(rt, &t->resolved->runtimes)
			rt->file->held = true;
		vec_each(a, &t->resolved->allocators)
			if (a->file)
				a->file->held = true;
	}
}

static void close_unseen(struct session *s, uint64_t before_ns)
{
	size_t n = s->files.files.n;

	/* Copies come behind the file that they are read by. */
	for (size_t i = n; i-- > 0;) {
		struct file *f = s->files.files.v[i];

		if (f->closed || f->seen_ns >= before_ns)
			continue;
		attach_forget_file(s->attach, f);
		files_close(&s->files, f);
	}
}

void session_rest_files(struct session *s)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC), forget = forget_ns();

	if (now < s->clock.next_rest_ns)
		return;
	s->clock.next_rest_ns = now + (forget < REST_NS ? forget : REST_NS);
	files_rest(&s->files);
	if (follow_wanted(s)) {
		see_files(s);
		close_unseen(s, now - forget);
		hold_files(s);
		files_free_closed(&s->files);
	}
}
