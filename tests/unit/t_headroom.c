/* SPDX-License-Identifier: MIT */
/* Free memory by what the kernel's files say, in cgroups of both versions. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "discover/headroom.h"

static char root[] = "/tmp/t_room.XXXXXX";

static void put(const char *name, const char *text)
{
	char path[300], *slash;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int begin(void **state)
{
	(void)state;
	strcpy(root + sizeof(root) - 7, "XXXXXX");
	return !mkdtemp(root);
}

static int end(void **state)
{
	char cmd[300];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -r %s", root);
	return system(cmd);
}

static void the_machine_alone(void **state)
{
	(void)state;
	assert_true(headroom_bytes(root) == UINT64_MAX); /* nothing is told */
	put("proc/meminfo", "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    2048 kB\n");
	assert_int_equal(headroom_bytes(root), 2048 << 10);
	put("proc/self/cgroup", "0::/\n1:name=systemd:/\nnonsense\n");
	put("sys/fs/cgroup/memory.max", "max\n");
	assert_int_equal(headroom_bytes(root), 2048 << 10);
}

static void the_tightest_cgroup_counts(void **state)
{
	(void)state;
	put("proc/meminfo", "MemAvailable: 1048576 kB\n");
	put("proc/self/cgroup", "0::/pod/app\n");
	put("sys/fs/cgroup/pod/memory.max", "100000\n");
	put("sys/fs/cgroup/pod/memory.current", "70000\n");
	put("sys/fs/cgroup/pod/memory.stat", "anon 1\nfile 2\ninactive_file 20000\n");
	put("sys/fs/cgroup/pod/app/memory.max", "max\n");
	assert_int_equal(headroom_bytes(root), 50000);
	put("sys/fs/cgroup/pod/app/memory.max", "10000\n");
	put("sys/fs/cgroup/pod/app/memory.current", "9000\n");
	assert_int_equal(headroom_bytes(root), 1000);
	put("sys/fs/cgroup/pod/app/memory.current", "11000\n");
	assert_int_equal(headroom_bytes(root), 0);
}

/* Inside a container the path is the host's, and what is mounted is its own cgroup. */
static void version_one(void **state)
{
	(void)state;
	put("proc/self/cgroup", "5:cpu,memory:/docker/abc\n3:memoryx:/\n0::/\n");
	put("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n");
	put("sys/fs/cgroup/memory/memory.usage_in_bytes", "300000\n");
	assert_int_equal(headroom_bytes(root), 700000);
	put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	assert_true(headroom_bytes(root) == UINT64_MAX); /* its number for none */
}

static void what_a_process_may_use(void **state)
{
	struct memory_limit l;

	(void)state;
	assert_false(headroom_limit(root, 7, &l));
	put("proc/7/cgroup", "0::/pod\n");
	put("proc/7/limits", "Limit  Soft Limit  Hard Limit  Units\n"
	    "Max address space         unlimited            unlimited            bytes\n");
	put("proc/7/status", "Name: x\nVmSize:\t 1000 kB\n");
	put("sys/fs/cgroup/pod/memory.max", "max\n");
	assert_false(headroom_limit(root, 7, &l));
	put("proc/7/limits", "Max address space         2048000              2048000              bytes\n");
	assert_true(headroom_limit(root, 7, &l));
	assert_string_equal(l.what, "RLIMIT_AS");
	assert_int_equal(l.bytes, 2048000);
	assert_int_equal(l.left, 1024000);
	put("sys/fs/cgroup/pod/memory.max", "5000000\n");
	put("sys/fs/cgroup/pod/memory.current", "4999000\n");
	assert_true(headroom_limit(root, 7, &l));
	assert_string_equal(l.what, "cgroup");
	assert_int_equal(l.bytes, 5000000);
	assert_int_equal(l.left, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_machine_alone, begin, end),
		cmocka_unit_test_setup_teardown(the_tightest_cgroup_counts, begin, end),
		cmocka_unit_test_setup_teardown(version_one, begin, end),
		cmocka_unit_test_setup_teardown(what_a_process_may_use, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
