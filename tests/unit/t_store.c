/* SPDX-License-Identifier: MIT */
/* The incident file: what was committed stays, limits hold, what is loaded is what was saved. */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "archive/archive.h"
#include "archive/replay.h"
#include "archive/store.h"
#include "report/format.h"

static char dir[64], path[96];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/t_store.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/f.db", dir);
	return 0;
}

static int remove_dir(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd) ? -1 : 0;
}

static struct store *new_store(uint64_t max_bytes)
{
	struct store_config cfg = { path, true, max_bytes, 0 };
	struct store *s = NULL;
	struct errmsg err;

	if (store_create(&cfg, &s, &err))
		fail_msg("%s", err.text);
	return s;
}

#define START 1790000000000000000ull

/* A report of one state and n sites whose figures depend on `moment`. */
static void fill(struct report *r, uint64_t moment, size_t n)
{
	static char lines[5000][24];
	struct report_state s = {
		.pid = 7, .state = 1, .runtime = 1, .L = 0x7f0000001000, .g = 0x7f0000002000,
		.heap_known = true, .heap_bytes = 1000 * moment, .live_bytes = 900 * moment,
		.live_blocks = moment, .allocs = 10 * moment, .gc_cycles = (uint32_t)moment,
		.gc_known = true, .before_attach = true, .gc_state = "pause",
	};

	r->mode = "exact";
	r->active = true;
	r->end_realtime_ns = START + moment * 1000000000u;
	r->events = 20 * moment;
	assert_int_equal(vec_push(&r->states, s), 0);
	for (size_t i = 0; i < n; i++) {
		struct report_site site = { .pid = 7, .state = 1, .kind = "table",
					    .live_bytes = 64 * moment, .live_blocks = moment,
					    .verdict = VERDICT_GROWING };

		snprintf(lines[i], sizeof(lines[i]), "@app.lua:%zu", i);
		site.frame.lua = lines[i];
		assert_int_equal(vec_push(&r->sites, site), 0);
	}
}

static void save(struct archive *a, uint64_t moment, size_t n, bool last)
{
	struct report r = { .last = last };

	fill(&r, moment, n);
	archive_save(a, &r);
	report_deinit(&r);
}

static int load(uint64_t at_ns, struct loaded_report *l, struct errmsg *err)
{
	struct replay *from = NULL;
	int rc = replay_open(path, &from, err);

	if (!rc)
		rc = archive_load(from, at_ns, true, l, err);
	replay_free(from);
	return rc;
}

static struct loaded_report must_load(uint64_t at_ns)
{
	struct loaded_report l = { 0 };
	struct errmsg err;

	if (load(at_ns, &l, &err))
		fail_msg("%s", err.text);
	return l;
}

static char *json_of(const struct report *r)
{
	struct format_options opt = { .first = true };
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	json_write(r, &opt, f);
	fclose(f);
	return text;
}

static void loaded_is_what_was_saved(void **state)
{
	struct report r = { .last = true, .start_realtime_ns = START };
	struct store *s = new_store(0);
	struct loaded_report l;
	struct archive *a;
	char *saved, *loaded;

	(void)state;
	fill(&r, 3, 20);
	r.lost[0] = 5;
	assert_int_equal(vec_push(&r.blind_spots, "one \"thing\""), 0);
	saved = json_of(&r);
	assert_int_equal(archive_new(s, &a), 0);
	archive_put_meta(a, "start_ns", "1790000000000000000");
	assert_int_equal(archive_save(a, &r), 0);
	assert_int_equal(store_finish(s), 0);
	archive_free(a);
	store_free(s);
	report_deinit(&r);
	l = must_load(ARCHIVE_LAST);
	loaded = json_of(&l.r);
	assert_string_equal(loaded, saved);
	loaded_report_free(&l);
	free(saved);
	free(loaded);
}

static void each_moment_is_as_it_was(void **state)
{
	struct store *s = new_store(0);
	struct loaded_report l;
	struct archive *a;
	struct errmsg err;

	(void)state;
	assert_int_equal(archive_new(s, &a), 0);
	archive_put_meta(a, "start_ns", "1790000000000000000");
	save(a, 1, 3, false);
	save(a, 2, 5, false);
	save(a, 3, 2, false); /* three sites are gone */
	save(a, 4, 4, true);  /* two are back */
	archive_free(a);
	store_free(s);
	for (uint64_t m = 1; m <= 4; m++) {
		static const size_t sites[] = { 0, 3, 5, 2, 4 };

		l = must_load(START + m * 1000000000u + 5);
		assert_int_equal(l.r.sites.n, sites[m]);
		assert_int_equal(l.r.states.v[0].heap_bytes, 1000 * m);
		assert_int_equal(l.r.sites.v[0].live_bytes, 64 * m);
		loaded_report_free(&l);
	}
	l = must_load(START); /* before the first: that one */
	assert_int_equal(l.r.sites.n, 3);
	loaded_report_free(&l);
	assert_int_equal(load(START - 1, &l, &err), -EINVAL);
}

static void an_existing_file_is_refused(void **state)
{
	struct store_config cfg = { path, false, 0, 0 };
	struct store *s = new_store(0);
	struct errmsg err;

	(void)state;
	store_free(s);
	assert_int_equal(store_create(&cfg, &s, &err), -EEXIST);
	assert_non_null(strstr(err.text, "--force"));
}

static void a_limit_keeps_the_newest_and_the_ends(void **state)
{
	uint64_t limit = 1 << 20;
	struct store *s = new_store(limit);
	struct loaded_report l;
	struct archive *a;

	(void)state;
	assert_int_equal(archive_new(s, &a), 0);
	for (uint64_t m = 1; m <= 2000; m++) {
		save(a, m, 100, m == 2000);
		if (m % 100 == 0)
			assert_true(store_bytes(s) <= limit);
	}
	assert_null(store_error(s));
	assert_int_equal(store_finish(s), 0);
	assert_true(store_bytes(s) <= limit);
	archive_free(a);
	store_free(s);
	l = must_load(ARCHIVE_LAST);
	assert_int_equal(l.r.sites.n, 100);
	assert_int_equal(l.r.sites.v[0].live_bytes, 64 * 2000);
	assert_true(l.r.detail_since_ns > START);
	loaded_report_free(&l);
	l = must_load(START + 1000000000u + 5); /* the first moment is still in the summary */
	assert_int_equal(l.r.states.v[0].heap_bytes, 1000);
	assert_true(l.r.detail_dropped);
	loaded_report_free(&l);
}

static void more_sites_than_fit_are_counted(void **state)
{
	struct store *s = new_store(1 << 20);
	struct loaded_report l;
	struct archive *a;

	(void)state;
	assert_int_equal(archive_new(s, &a), 0);
	for (uint64_t m = 1; m <= 30; m++)
		save(a, m, 5000, m == 30);
	assert_null(store_error(s));
	store_finish(s);
	assert_true(store_bytes(s) <= 1 << 20);
	archive_free(a);
	store_free(s);
	l = must_load(ARCHIVE_LAST);
	assert_true(l.r.sites.n > 100);
	assert_int_equal(l.r.sites.n + l.r.left_out, 5000);
	loaded_report_free(&l);
}

/* Commits one moment after the other and says so; never returns. */
static void write_until_killed(int said)
{
	struct store *s = new_store(0);
	struct archive *a;

	if (archive_new(s, &a))
		_exit(1);
	for (uint64_t m = 1;; m++) {
		save(a, m, 50, false);
		if (write(said, &m, sizeof(m)) != sizeof(m))
			_exit(1);
	}
}

static void sigkill_at_any_moment_loses_nothing_acknowledged(void **state)
{
	(void)state;
	srand(42);
	for (int i = 0; i < 100; i++) {
		struct timespec delay = { 0, 1000000 + rand() % 25000000 };
		struct loaded_report l = { 0 };
		uint64_t said = 0, m;
		struct errmsg err;
		int fds[2], status, rc;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (!pid)
			write_until_killed(fds[1]);
		close(fds[1]);
		if (i % 4) /* each fourth is killed wherever it is, even before it has a file */
			assert_int_equal(read(fds[0], &said, sizeof(said)), sizeof(said));
		nanosleep(&delay, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		while (read(fds[0], &m, sizeof(m)) == sizeof(m))
			said = m;
		close(fds[0]);
		rc = load(ARCHIVE_LAST, &l, &err);
		if (said) {
			if (rc)
				fail_msg("kill %d, after moment %llu: %s", i, (unsigned long long)said, err.text);
			assert_true(l.r.states.v[0].heap_bytes >= 1000 * said);
			assert_int_equal(l.r.sites.n, 50);
			loaded_report_free(&l);
		} else if (!rc) {
			loaded_report_free(&l);
		}
		unlink(path);
	}
}

/* A quota looks like this: the file must not grow. */
static void a_full_disk_leaves_a_readable_file(void **state)
{
	struct loaded_report l;
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		struct rlimit small = { 400 << 10, 400 << 10 };
		struct store *s = new_store(0);
		struct archive *a;

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &small);
		if (archive_new(s, &a))
			_exit(1);
		for (uint64_t m = 1; m < 10000 && !store_error(s); m++)
			save(a, m, 50, false);
		_exit(store_error(s) && strstr(store_error(s)->text, "cannot write") ? 42 : 1);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(WEXITSTATUS(status), 42);
	l = must_load(ARCHIVE_LAST);
	assert_int_equal(l.r.sites.n, 50);
	loaded_report_free(&l);
}

static void a_vanished_file_is_noticed(void **state)
{
	struct store *s = new_store(0);
	struct archive *a;

	(void)state;
	assert_int_equal(archive_new(s, &a), 0);
	save(a, 1, 1, false);
	assert_null(store_error(s));
	unlink(path);
	save(a, 2, 1, false);
	assert_non_null(store_error(s));
	archive_free(a);
	store_free(s);
}

static void memory_keeps_a_window_and_becomes_a_file(void **state)
{
	struct store_config memory = { NULL, false, 64 << 20, 20000000000ull },
			    file = { path, true, 0, 0 };
	struct store *s = NULL;
	struct loaded_report l;
	struct archive *a;
	struct errmsg err;

	(void)state;
	assert_int_equal(store_create(&memory, &s, &err), 0);
	assert_int_equal(archive_new(s, &a), 0);
	for (uint64_t m = 1; m <= 200; m++)
		save(a, m, 10, false);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(store_to_file(s, &file, &err), 0);
	save(a, 201, 10, true);
	assert_int_equal(store_finish(s), 0);
	archive_free(a);
	store_free(s);
	l = must_load(ARCHIVE_LAST);
	assert_int_equal(l.r.states.v[0].heap_bytes, 201000);
	loaded_report_free(&l);
	l = must_load(START + 190 * 1000000000ull + 5);
	assert_int_equal(l.r.sites.v[0].live_bytes, 64 * 190);
	loaded_report_free(&l);
	l = must_load(START + 100 * 1000000000ull); /* not kept */
	assert_true(l.r.states.v[0].heap_bytes > 170000);
	loaded_report_free(&l);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(loaded_is_what_was_saved),
		T(each_moment_is_as_it_was),
		T(an_existing_file_is_refused),
		T(a_limit_keeps_the_newest_and_the_ends),
		T(more_sites_than_fit_are_counted),
		T(sigkill_at_any_moment_loses_nothing_acknowledged),
		T(a_full_disk_leaves_a_readable_file),
		T(a_vanished_file_is_noticed),
		T(memory_keeps_a_window_and_becomes_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
