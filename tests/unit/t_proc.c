/* SPDX-License-Identifier: MIT */
/* /proc/PID/maps with odd names, on mappings that this process makes of itself. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "discover/proc.h"

static char dir[] = "/tmp/lmt unit.XXXXXX"; /* with a space, as any path may have */

/* Maps a page of a fresh file of this name in dir. */
static void *map_file(const char *name, int prot)
{
	char path[128];
	void *p;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 8192), 0);
	p = mmap(NULL, 4096, prot, MAP_PRIVATE, fd, 4096);
	assert_ptr_not_equal(p, MAP_FAILED);
	close(fd);
	return p;
}

static void remove_file(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

static const struct proc_map *map_of(struct proc_maps *m, const void *p)
{
	assert_int_equal(proc_read_maps(getpid(), m), 0);
	return proc_find_map(m, (uint64_t)(uintptr_t)p);
}

static void odd_names_come_back_as_they_are(void **state)
{
	static const char *const names[] = {
		"plain", "with two  spaces", "new\nline", " (deleted) not", "tab\tinside",
		"back\\slash", "\xff\xfe", "trailing ",
	};
	struct proc_maps m = { 0 };

	(void)state;
	for (size_t i = 0; i < N_OF(names); i++) {
		void *p = map_file(names[i], PROT_READ);
		const struct proc_map *e = map_of(&m, p);
		char want[160];

		snprintf(want, sizeof(want), "%s/%s", dir, names[i]);
		assert_non_null(e);
		assert_string_equal(e->path, want);
		assert_false(e->deleted);
		munmap(p, 4096);
		remove_file(names[i]);
	}
	proc_maps_deinit(&m);
}

static void a_removed_file_is_deleted_and_can_still_be_opened(void **state)
{
	void *p = map_file("gone", PROT_READ);
	struct proc_maps m = { 0 };
	const struct proc_map *e;
	char want[160], path[PATH_MAX];
	struct stat st;

	(void)state;
	remove_file("gone");
	e = map_of(&m, p);
	snprintf(want, sizeof(want), "%s/gone", dir);
	assert_string_equal(e->path, want);
	assert_true(e->deleted);
	proc_file_of(getpid(), e, path);
	if (!stat(path, &st)) /* map_files is for the privileged */
		assert_int_equal(st.st_ino, e->inode);
	munmap(p, 4096);
	proc_maps_deinit(&m);
}

static void numbers_of_a_mapping_are_right(void **state)
{
	void *p = map_file("numbers", PROT_READ | PROT_WRITE), *q;
	struct proc_maps m = { 0 };
	const struct proc_map *e;
	char path[160];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/numbers", dir);
	assert_int_equal(stat(path, &st), 0);
	e = map_of(&m, p);
	assert_int_equal(e->start, (uint64_t)(uintptr_t)p);
	assert_int_equal(e->end, (uint64_t)(uintptr_t)p + 4096);
	assert_int_equal(e->offset, 4096);
	assert_int_equal(e->inode, st.st_ino);
	assert_int_equal(e->prot, PROC_R | PROC_W);
	q = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	e = map_of(&m, q);
	assert_int_equal(e->prot, 0);
	assert_int_equal(e->inode, 0);
	assert_string_equal(e->path, "");
	munmap(p, 4096);
	munmap(q, 4096);
	remove_file("numbers");
	proc_maps_deinit(&m);
}

static void an_address_between_mappings_is_in_none(void **state)
{
	char *p = mmap(NULL, 3 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t at = (uint64_t)(uintptr_t)p;
	struct proc_maps m = { 0 };

	(void)state;
	munmap(p + 4096, 4096);
	assert_non_null(map_of(&m, p));
	assert_null(proc_find_map(&m, at + 4096));
	assert_null(proc_find_map(&m, at + 2 * 4096 - 1));
	assert_non_null(proc_find_map(&m, at + 4095));
	assert_non_null(proc_find_map(&m, at + 2 * 4096));
	assert_null(proc_find_map(&m, 0));
	assert_null(proc_find_map(&m, UINT64_MAX));
	munmap(p, 4096);
	munmap(p + 2 * 4096, 4096);
	proc_maps_deinit(&m);
}

static void we_know_ourselves(void **state)
{
	struct proc_info info;

	(void)state;
	assert_int_equal(proc_read_info(getpid(), &info), 0);
	assert_true(info.start_ticks > 0);
	assert_true(strstr(info.exe, "t_proc") != NULL);
	assert_int_equal(info.uid, getuid());
	assert_true(proc_is_alive(getpid(), info.start_ticks));
	assert_false(proc_is_alive(getpid(), info.start_ticks + 1)); /* a reused pid */
	assert_int_equal(proc_read_bits(getpid()), PROC_BITS_64);
}

static void a_zombie_is_no_process_any_more(void **state)
{
	struct proc_maps m = { 0 };
	struct proc_info info;
	siginfo_t si;
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(0);
	waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT);
	assert_int_equal(proc_read_info(pid, &info), -ESRCH);
	assert_int_equal(proc_read_maps(pid, &m), -ESRCH);
	assert_int_equal(m.maps.n, 0);
	waitpid(pid, NULL, 0);
	assert_int_equal(proc_read_info(pid, &info), -ESRCH);
	assert_int_equal(proc_read_maps(pid, &m), -ESRCH);
	assert_int_equal(proc_read_bits(pid), PROC_BITS_UNREADABLE);
}

/* The name of a thread group may hold what separates the fields of stat. */
static void a_command_name_cannot_fake_a_start_time(void **state)
{
	struct proc_info before, after;
	char name[16] = { 0 };
	FILE *f = fopen("/proc/self/comm", "r+e");

	(void)state;
	assert_non_null(f);
	assert_int_equal(proc_read_info(getpid(), &before), 0);
	fputs(") Z 1 (x", f);
	fclose(f);
	assert_int_equal(proc_read_info(getpid(), &after), 0);
	assert_int_equal(after.start_ticks, before.start_ticks);
	assert_string_equal(after.comm, ") Z 1 (x");
	memcpy(name, before.comm, sizeof(name) - 1);
	f = fopen("/proc/self/comm", "r+e");
	fputs(name, f);
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(odd_names_come_back_as_they_are),
		cmocka_unit_test(a_removed_file_is_deleted_and_can_still_be_opened),
		cmocka_unit_test(numbers_of_a_mapping_are_right),
		cmocka_unit_test(an_address_between_mappings_is_in_none),
		cmocka_unit_test(we_know_ourselves),
		cmocka_unit_test(a_zombie_is_no_process_any_more),
		cmocka_unit_test(a_command_name_cannot_fake_a_start_time),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
