/* SPDX-License-Identifier: MIT */
/*
 * Somebody else's file: foreign, cut off, damaged, forged. A clear error or a report; never a
 * crash.
 */
#include "unit.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>

#include "archive/archive.h"
#include "archive/replay.h"
#include "archive/schema.h"
#include "archive/store.h"
#include "report/format.h"

static char dir[64], path[96];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/t_replay.XXXXXX");
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

#define HOSTILE "=\033]0;owned\a<script>alert(1)</script>\"\\\xff\xfe';DROP TABLE site;--"

/* A good file with something of everything in it. */
static void make_good(void)
{
	struct store_config cfg = { path, true, 0, 0 };
	struct report r = { .mode = "exact", .active = true };
	struct store *s = NULL;
	struct archive *a;
	struct errmsg err;

	assert_int_equal(store_create(&cfg, &s, &err), 0);
	assert_int_equal(archive_new(s, &a), 0);
	archive_put_meta(a, "start_ns", "1790000000000000000");
	archive_put_meta(a, "command", "luamemtrace " HOSTILE);
	vec_push(&r.processes,
		 (struct report_process){ .pid = 7, .comm = HOSTILE, .exe = HOSTILE });
	vec_push(&r.runtimes, (struct report_runtime){ .pid = 7, .runtime = 1, .family = "puc",
						       .module = HOSTILE, .title = "Lua 5.4.4" });
	vec_push(&r.runtimes.v[0].functions, (struct report_function){ .name = "l_alloc" });
	vec_push(&r.blind_spots, HOSTILE);
	for (uint32_t i = 0; i < 20; i++) {
		vec_push(&r.states, (struct report_state){ .pid = 7, .state = i, .runtime = 1,
							   .label = HOSTILE, .live_bytes = i });
		vec_push(&r.sites,
			 (struct report_site){ .pid = 7,
					       .state = i,
					       .kind = "table",
					       .frame = { .lua = HOSTILE, .name = HOSTILE } });
	}
	for (uint64_t m = 1; m <= 5; m++) {
		r.end_realtime_ns = 1790000000000000000ull + m * 1000000000u;
		r.last = m == 5;
		r.lost[0] = m;
		vec_each(site, &r.sites)
			site->live_bytes += m * 1000;
		assert_int_equal(archive_save(a, &r), 0);
	}
	store_finish(s);
	archive_free(a);
	store_free(s);
	report_deinit(&r);
}

static int try_to_read(struct errmsg *err)
{
	struct format_options opt = { .first = true };
	struct loaded_report l = { 0 };
	struct replay *from = NULL;
	int rc = replay_open(path, &from, err);

	if (!rc)
		rc = archive_load(from, ARCHIVE_LAST, true, &l, err);
	if (!rc) {
		FILE *out = fopen("/dev/null", "we");

		text_write(&l.r, &opt, out);
		json_write(&l.r, &opt, out);
		fclose(out);
		loaded_report_free(&l);
	}
	replay_free(from);
	return rc;
}

static void run_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL))
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

static void put_file(const void *bytes, size_t n)
{
	FILE *f = fopen(path, "we");

	assert_int_equal(fwrite(bytes, 1, n, f), n);
	fclose(f);
}

static void refused(const char *why)
{
	struct errmsg err = { "" };
	int rc = try_to_read(&err);

	if (!rc)
		fail_msg("was read, though: %s", why);
	if (!strstr(err.text, why))
		fail_msg("expected '%s', got '%s'", why, err.text);
}

static void a_good_file_is_read(void **state)
{
	struct errmsg err = { "" };

	(void)state;
	make_good();
	if (try_to_read(&err))
		fail_msg("%s", err.text);
}

static void what_is_no_incident_file_is_told(void **state)
{
	struct errmsg err;

	(void)state;
	assert_int_equal(try_to_read(&err), -ENOENT);
	put_file("", 0);
	refused("it is empty");
	put_file("hello, this is some text and not a database", 43);
	refused("no incident file");
	unlink(path);
	run_sql("CREATE TABLE t(a)");
	refused("no incident file");
	unlink(path);
	mkdir(path, 0700);
	refused("it is not a file");
	rmdir(path);
	mkfifo(path, 0600);
	refused("it is not a file");
}

static void a_newer_schema_is_refused_by_name(void **state)
{
	struct errmsg err = { "" };

	(void)state;
	make_good();
	run_sql("PRAGMA user_version = 99");
	assert_int_equal(try_to_read(&err), -EBADMSG);
	assert_non_null(strstr(err.text, "version 99"));
	assert_non_null(strstr(err.text, "newer"));
}

static void forged_tables_are_not_asked(void **state)
{
	static const char *const forgeries[] = {
		"DROP TABLE site; CREATE VIEW site AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1"
		" FROM r) SELECT n AS id, 7 AS pid, 1 AS state, 'x' AS kind FROM r",
		"DROP TABLE site; CREATE TABLE site(id INTEGER PRIMARY KEY, pid, state, kind, line, name,"
		" approx, below, more AS (hex(zeroblob(100000000))))",
		"DROP TABLE meta",
		"DROP TABLE state_at; CREATE TABLE state_at(state, snapshot, present)",
		"DROP TABLE frame; CREATE VIRTUAL TABLE frame USING fts5(id)",
		"PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE TABLE site(id INTEGER"
		" PRIMARY KEY, x CHECK(x < 1))' WHERE name = 'site'",
	};
	struct errmsg err;
	time_t t0 = time(NULL);

	(void)state;
	for (size_t i = 0; i < N_OF(forgeries); i++) {
		make_good();
		run_sql(forgeries[i]);
		if (try_to_read(&err) != -EBADMSG)
			fail_msg("forgery %zu was read", i);
	}
	assert_true(time(NULL) - t0 < 20);
}

static void triggers_and_views_of_the_file_do_not_run(void **state)
{
	struct errmsg err;

	(void)state;
	make_good();
	run_sql("DROP VIEW v_sites; CREATE VIEW v_sites AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL"
		" SELECT n + 1 FROM r) SELECT * FROM r;"
		"CREATE TRIGGER t AFTER INSERT ON meta BEGIN SELECT count(*) FROM v_sites; END;"
		"CREATE TABLE more(a, b AS (a + 1)); CREATE INDEX i ON site(abs(pid))");
	if (try_to_read(&err))
		fail_msg("%s", err.text);
}

static void values_out_of_range_are_damage(void **state)
{
	static const char *const changes[] = {
		"UPDATE site SET pid = -5", "UPDATE site SET state = 1 << 40",
		"UPDATE site_at SET verdict = 9", "UPDATE site_at SET live_bytes = -1",
		"UPDATE state_at SET heap_known = 7", "UPDATE lost SET n = -1",
		"UPDATE site_at SET growth_bytes_per_s = 9e999",
	};

	(void)state;
	for (size_t i = 0; i < N_OF(changes); i++) {
		make_good();
		run_sql(changes[i]);
		refused("it is damaged");
	}
}

static void long_texts_are_damage(void **state)
{
	struct errmsg err;

	(void)state;
	make_good();
	run_sql("UPDATE process SET exe = replace(hex(zeroblob(2000000)), '0', 'x')");
	assert_int_equal(try_to_read(&err), -EBADMSG);
}

static void every_truncation_ends_well(void **state)
{
	struct errmsg err;
	size_t len;
	uint8_t *good;

	(void)state;
	make_good();
	good = slurp(path, &len);
	for (size_t n = 0; n < len; n += n < 200 ? 7 : 1777) {
		put_file(good, n);
		assert_int_not_equal(try_to_read(&err), 0);
	}
	free(good);
}

/* Bytes here and there, whole pages in the wrong place, in a file that was good. */
static void damage(uint8_t *bytes, size_t len)
{
	int n = 1 + rand() % 20;

	if (rand() % 4 == 0)
		memcpy(bytes + (size_t)rand() % (len / 4096) * 4096,
		       bytes + (size_t)rand() % (len / 4096) * 4096, 4096);
	for (int i = 0; i < n; i++) {
		size_t at = (size_t)rand() % len;

		if (rand() % 3 == 0)
			at = at / 4096 * 4096 + (size_t)rand() % 16; /* the head of a page */
		bytes[at] = (uint8_t)(rand() % 2 ? rand() : (rand() % 2 ? 0xff : 0));
	}
}

static void random_damage_ends_well(void **state)
{
	time_t t0 = time(NULL);
	struct errmsg err;
	int read_well = 0;
	uint8_t *good, *bad;
	size_t len;

	(void)state;
	make_good();
	good = slurp(path, &len);
	bad = malloc(len);
	srand(7);
	for (int i = 0; i < 600; i++) {
		memcpy(bad, good, len);
		damage(bad, len);
		put_file(bad, len);
		read_well += try_to_read(&err) == 0;
	}
	assert_true(time(NULL) - t0 < 60);
	assert_true(read_well < 600);
	free(good);
	free(bad);
}

/* The line of docs/SCHEMA.md about the view names each of its columns. */
static void check_documented(const char *schema_md, const char *view, sqlite3_stmt *stmt)
{
	char name[80];
	const char *row, *end;

	snprintf(name, sizeof(name), "\n| `%s` |", view);
	row = strstr(schema_md, name);
	if (!row)
		fail_msg("docs/SCHEMA.md does not have %s", view);
	end = strchr(row + 1, '\n');
	for (int i = 0; i < sqlite3_column_count(stmt); i++) {
		const char *at;

		snprintf(name, sizeof(name), "`%s`", sqlite3_column_name(stmt, i));
		at = strstr(row, name);
		if (!at || at > end)
			fail_msg("docs/SCHEMA.md: %s has a column %s", view, name);
	}
}

/* Each view can be asked, and both documents tell of it. Run from the top of the tree. */
static void views_are_as_documented(void **state)
{
	const struct schema_view *views;
	uint8_t *schema_md, *manual;
	sqlite3 *db;
	size_t n;

	(void)state;
	schema_md = slurp("docs/SCHEMA.md", &n);
	manual = slurp("docs/luamemtrace-db.5", &n);
	make_good();
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	views = schema_views(&n);
	assert_true(n > 10);
	for (size_t i = 0; i < n; i++) {
		sqlite3_stmt *stmt = NULL;
		char sql[128];

		snprintf(sql, sizeof(sql), "SELECT * FROM %s", views[i].name);
		if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) ||
		    sqlite3_step(stmt) == SQLITE_ERROR)
			fail_msg("%s: %s", views[i].name, sqlite3_errmsg(db));
		check_documented((char *)schema_md, views[i].name, stmt);
		assert_non_null(strstr((char *)manual, views[i].name));
		sqlite3_finalize(stmt);
	}
	free(schema_md);
	free(manual);
	sqlite3_close(db);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_good_file_is_read),
		T(what_is_no_incident_file_is_told),
		T(a_newer_schema_is_refused_by_name),
		T(forged_tables_are_not_asked),
		T(triggers_and_views_of_the_file_do_not_run),
		T(values_out_of_range_are_damage),
		T(long_texts_are_damage),
		T(every_truncation_ends_well),
		T(random_damage_ends_well),
		T(views_are_as_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
