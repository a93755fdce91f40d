/* SPDX-License-Identifier: MIT */
/*
 * A state whose memory was reserved, not usable, when its mappings were read is not taken for
 * closed.
 */
#include "unit.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "census/census.h"
#include "resolve/runtime.h"

#define TRIES 10 /* on a crowded machine a stop may come too late */

/* A Lua that never rests, so that it has to be stopped. */
static pid_t start_busy(void)
{
	int out[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* should an assertion fail here */
		dup2(out[1], STDOUT_FILENO);
		execlp("lua5.4", "lua5.4", "-e",
		       "io.write('r') io.flush() local t while true do t = { t and #t } end", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(read(out[0], &c, 1), 1);
	close(out[0]);
	close(out[1]);
	return pid;
}

/* As malloc's reserve is, before a heap grows into it. */
static void make_stale(struct target *t)
{
	vec_each(m, &t->maps.maps)
		if (m->prot & PROC_W)
			m->prot = 0;
}

static void test_reserve(void **unused)
{
	struct census_options opt = { .pause_budget_ns = 1000000000 };
	struct resolved *resolved = NULL;
	struct files files = { 0 };
	struct target *t = NULL;
	struct memread mem;
	struct errmsg err;
	struct census c;
	pid_t pid = start_busy();
	bool done = false;

	(void)unused;
	assert_int_equal(target_open(pid, &t, &err), 0);
	assert_int_equal(memread_open_process(pid, &mem), 0);
	assert_int_equal(resolve_process(t, &mem, &files, &resolved, &err), 0);
	assert_int_equal(resolved->states.n, 1);
	make_stale(t);
	for (int i = 0; i < TRIES && !done; i++) {
		census_init(&c, t, &mem, resolved, &opt);
		assert_int_equal(census_take(&c, &err), 0);
		assert_int_equal(c.states.n, 1);
		assert_false(c.states.v[0].gone);
		done = c.states.v[0].done;
		census_deinit(&c);
	}
	assert_true(done);
	resolved_free(resolved);
	memread_end_process(&mem);
	target_free(t);
	files_deinit(&files);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_reserve) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
