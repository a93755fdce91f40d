/* SPDX-License-Identifier: MIT */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "schema.h"
#include "store_db.h"

#define PAGE_BYTES 4096
#define WAL_PAGES 1000      /* of the log before it goes into the file, unless the limit is small */
#define BYTES_PER_THING 400 /* of a site or state with its figures, generously */

#define CHECKPOINT_NS 5000000000ull
#define FIRST_COMMITS 3 /* who is recorded, and the first moments: at once */

static const char *const beside[] = { "-wal", "-shm", "-journal" };

static const char *reason(const struct store *s, int code)
{
	int sys = s->db ? sqlite3_system_errno(s->db) : 0;

	if ((code & 0xff) == SQLITE_FULL)
		return "no space left";
	if (sys && ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN))
		return strerror(sys);
	return s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code);
}

static int fail(struct store *s, int code)
{
	if (!s->rc)
		s->rc = errmsg_set(&s->err, code == SQLITE_NOMEM ? -ENOMEM : -EIO,
				   "cannot write '%s': %s", s->path ? s->path : "memory",
				   reason(s, code));
	return s->rc;
}

int store_run(struct store *s, const char *sql)
{
	int code = s->rc ? SQLITE_OK : sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return s->rc ? s->rc : code ? fail(s, code) : 0;
}

int64_t store_number(struct store *s, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int64_t n = 0;

	if (!s->rc && !sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return n;
}

uint64_t store_used(struct store *s)
{
	int64_t pages = store_number(s, "PRAGMA page_count") - store_number(s, "PRAGMA freelist_count");

	return (uint64_t)pages * PAGE_BYTES;
}

static void drop_statements(struct store *s)
{
	vec_each(st, &s->statements)
		sqlite3_finalize(st->stmt);
	s->statements.n = 0;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	drop_statements(s);
	vec_deinit(&s->statements);
	sqlite3_close(s->db);
	free(s->path);
	free(s);
}

/* Where a file of that name is, or one of its companions: what was recorded there stays. */
static int refuse_existing(const char *path, struct errmsg *err)
{
	struct stat st;

	if (!lstat(path, &st))
		return errmsg_set(err, -EEXIST, "'%s' exists; give another name, or --force to "
				  "overwrite it", path);
	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
		auto_free char *name = NULL;

		if (asprintf(&name, "%s%s", path, beside[i]) < 0)
			return errmsg_set(err, -ENOMEM, "out of memory");
		if (!lstat(name, &st))
			return errmsg_set(err, -EEXIST, "'%s' exists, left by another recording; give "
					  "another name, or --force to overwrite it", name);
	}
	return 0;
}

static void remove_files(const char *path)
{
	unlink(path);
	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
		auto_free char *name = NULL;

		if (asprintf(&name, "%s%s", path, beside[i]) >= 0)
			unlink(name);
	}
}

/* A directory, a device, a pipe: nothing that --force may remove. */
static bool is_regular_or_none(const char *path)
{
	struct stat st;

	return lstat(path, &st) || S_ISREG(st.st_mode) || S_ISLNK(st.st_mode);
}

/* Makes an empty file that nobody else made: paths and strings of production go into it. */
static int make_file(struct store *s, struct errmsg *err)
{
	auto_close int fd = -1;
	struct stat st;
	int rc = 0;

	if (!s->cfg.force)
		rc = refuse_existing(s->path, err);
	else if (is_regular_or_none(s->path))
		remove_files(s->path);
	if (rc)
		return rc;
	fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st))
		return errmsg_set(err, -EIO, "cannot write '%s': %s", s->path, strerror(errno));
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

static int open_db(struct store *s)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW;
	auto_free char *full = s->path ? realpath(s->path, NULL) : NULL;
	int code;

	if (s->path && !full)
		return errmsg_set(&s->err, s->rc = -EIO, "cannot write '%s': %s", s->path,
				  strerror(errno));
	code = sqlite3_open_v2(full ? full : ":memory:", &s->db, flags, NULL);
	if (code)
		return fail(s, code);
	sqlite3_busy_timeout(s->db, 2000);
	return store_run(s, "PRAGMA temp_store = MEMORY");
}

/* The log's share of a small limit is small too. */
static int set_modes(struct store *s)
{
	uint64_t pages = s->cfg.max_bytes ? s->cfg.max_bytes / 16 / PAGE_BYTES : WAL_PAGES;
	char sql[256];

	if (pages > WAL_PAGES)
		pages = WAL_PAGES;
	snprintf(sql, sizeof(sql), "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = %llu;"
		 "PRAGMA journal_size_limit = %llu; PRAGMA max_page_count = %llu",
		 (unsigned long long)pages, (unsigned long long)pages * PAGE_BYTES,
		 s->cfg.max_bytes ? (unsigned long long)s->cfg.max_bytes * 5 / 8 / PAGE_BYTES :
		 4294967294ull);
	if (s->path)
		store_run(s, "PRAGMA journal_mode = WAL");
	return store_run(s, sql);
}

static int make_tables(struct store *s)
{
	size_t n_tables, n_views;
	const struct schema_table *tables = schema_tables(&n_tables);
	const struct schema_view *views = schema_views(&n_views);
	char head[128];

	snprintf(head, sizeof(head), "BEGIN; PRAGMA application_id = %d; PRAGMA user_version = %d",
		 LMT_STORE_APPLICATION_ID, LMT_STORE_VERSION);
	store_run(s, head);
	for (size_t i = 0; i < n_tables; i++)
		if (!tables[i].until)
			store_run(s, tables[i].sql);
	for (size_t i = 0; i < n_views; i++) {
		auto_free char *sql = NULL;

		if (asprintf(&sql, "CREATE VIEW %s AS %s", views[i].name, views[i].sql) < 0)
			return fail(s, SQLITE_NOMEM);
		store_run(s, sql);
	}
	return store_run(s, "COMMIT");
}

int store_create(const struct store_config *cfg, struct store **ret, struct errmsg *err)
{
	struct store *s = calloc(1, sizeof(*s));
	int rc;

	if (!s || (cfg->path && !(s->path = strdup(cfg->path)))) {
		store_free(s);
		return errmsg_set(err, -ENOMEM, "out of memory");
	}
	s->cfg = *cfg;
	s->stride = 1;
	rc = s->path ? make_file(s, err) : 0;
	if (rc) {
		store_free(s);
		return rc;
	}
	if (!open_db(s))
		store_run(s, "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL");
	if (!s->rc && !set_modes(s) && !make_tables(s)) {
		*ret = s;
		return 0;
	}
	rc = errmsg_set(err, s->rc, "%s", s->err.text);
	if (s->path)
		remove_files(s->path);
	store_free(s);
	return rc;
}

/* INSERT OR REPLACE INTO table(columns) VALUES(?, …) */
static char *insert_sql(const char *table, const char *const *columns, size_t n)
{
	char *sql = NULL;
	size_t size;
	FILE *f = open_memstream(&sql, &size);

	if (!f)
		return NULL;
	fprintf(f, "INSERT OR REPLACE INTO %s(", table);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%s%s", i ? "," : "", columns[i]);
	fputs(") VALUES(", f);
	for (size_t i = 0; i < n; i++)
		fputs(i ? ",?" : "?", f);
	fputc(')', f);
	fclose(f);
	return sql;
}

static sqlite3_stmt *statement_for(struct store *s, const char *table, const char *const *columns,
				   size_t n)
{
	struct store_statement fresh = { .table = table, .columns = columns };
	auto_free char *sql = NULL;
	int code;

	vec_each(st, &s->statements)
		if (st->table == table && st->columns == columns)
			return st->stmt;
	sql = insert_sql(table, columns, n);
	code = sql ? sqlite3_prepare_v2(s->db, sql, -1, &fresh.stmt, NULL) : SQLITE_NOMEM;
	if (!code && vec_push(&s->statements, fresh)) {
		sqlite3_finalize(fresh.stmt);
		code = SQLITE_NOMEM;
	}
	if (code)
		fail(s, code);
	return code ? NULL : fresh.stmt;
}

static int bind(sqlite3_stmt *stmt, int at, const struct cell *c)
{
	switch (c->type) {
	case CELL_NULL:
		return sqlite3_bind_null(stmt, at);
	case CELL_INT:
		return sqlite3_bind_int64(stmt, at, c->i);
	case CELL_REAL:
		return sqlite3_bind_double(stmt, at, c->real);
	case CELL_TEXT:
		return sqlite3_bind_text(stmt, at, c->text, -1, SQLITE_STATIC);
	}
	return SQLITE_MISUSE;
}

int store_put(struct store *s, const char *table, const char *const *columns,
	      const struct cell *cells, size_t n)
{
	sqlite3_stmt *stmt;
	int code = SQLITE_OK;

	if (!s->in_transaction && !store_run(s, "BEGIN IMMEDIATE"))
		s->in_transaction = true;
	stmt = s->rc ? NULL : statement_for(s, table, columns, n);
	if (!stmt)
		return s->rc;
	for (size_t i = 0; !code && i < n; i++)
		code = bind(stmt, (int)i + 1, &cells[i]);
	if (!code)
		code = sqlite3_step(stmt);
	if (code != SQLITE_DONE)
		fail(s, code);
	sqlite3_reset(stmt);
	return s->rc;
}

void store_roll_back(struct store *s)
{
	if (s->in_transaction)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL); /* may have happened already */
	s->in_transaction = false;
}

/* SQLite writes on happily into a file that is no longer there. */
static int check_there(struct store *s)
{
	struct stat st;

	if (!s->path || s->rc)
		return s->rc;
	if (stat(s->path, &st))
		s->rc = errmsg_set(&s->err, -EIO, "cannot write '%s': %s", s->path, strerror(errno));
	else if (st.st_dev != s->dev || st.st_ino != s->ino)
		s->rc = errmsg_set(&s->err, -EIO, "cannot write '%s': another file has its name now",
				   s->path);
	return s->rc;
}

/*
 * The tables hit the limit that the user gave, not that of the disk. SQLite says the same of both.
 */
static bool is_at_own_limit(struct store *s)
{
	struct statvfs fs;

	if (!s->cfg.max_bytes || (sqlite3_errcode(s->db) & 0xff) != SQLITE_FULL)
		return false;
	return !s->path ||
	       (!statvfs(s->path, &fs) && fs.f_bavail * fs.f_bsize > s->cfg.max_bytes / 4);
}

/*
 * Copies the log into the file now and then, so that the file alone can be read should somebody
 * take it without its log. A reader in the way is not waited for.
 */
static void checkpoint(struct store *s)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (s->rc || !s->path || (now < s->next_checkpoint_ns && s->commits >= FIRST_COMMITS))
		return;
	s->commits++;
	store_run(s, "PRAGMA wal_checkpoint(PASSIVE)");
	s->next_checkpoint_ns = now + CHECKPOINT_NS;
}

int store_commit(struct store *s)
{
	if (s->in_transaction && !s->rc) {
		store_run(s, "COMMIT");
		s->in_transaction = s->rc != 0;
	}
	if (s->rc && is_at_own_limit(s)) {
		store_roll_back(s);
		s->rc = 0;
		return store_prune(s) ?: -EAGAIN;
	}
	if (s->rc)
		store_roll_back(s);
	if (!s->rc && !check_there(s))
		store_prune(s);
	checkpoint(s);
	return s->rc;
}

const struct errmsg *store_error(const struct store *s)
{
	return s->rc ? &s->err : NULL;
}

size_t store_room(const struct store *s)
{
	return s->cfg.max_bytes ? (size_t)(s->cfg.max_bytes / 4 / BYTES_PER_THING) : SIZE_MAX;
}

static int copy_into(struct store *s, sqlite3 *from)
{
	sqlite3_backup *b = sqlite3_backup_init(s->db, "main", from, "main");
	int code;

	if (!b)
		return fail(s, sqlite3_errcode(s->db));
	sqlite3_backup_step(b, -1);
	code = sqlite3_backup_finish(b);
	return code ? fail(s, code) : 0;
}

int store_to_file(struct store *s, const struct store_config *cfg, struct errmsg *err)
{
	sqlite3 *memory = s->db;

	store_commit(s);
	drop_statements(s);
	s->cfg = *cfg;
	s->path = strdup(cfg->path);
	if (!s->path)
		s->rc = errmsg_set(&s->err, -ENOMEM, "out of memory");
	if (!s->rc)
		s->rc = make_file(s, &s->err);
	if (!s->rc && !open_db(s) && !copy_into(s, memory))
		set_modes(s);
	if (s->db != memory)
		sqlite3_close(memory);
	return s->rc ? errmsg_set(err, s->rc, "%s", s->err.text) : 0;
}

int store_finish(struct store *s)
{
	store_commit(s);
	if (s->path && !s->rc) {
		store_run(s, "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)");
		drop_statements(s);
		/* A reader may hold the log: then it stays, and goes with the last reader. */
		sqlite3_exec(s->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
	}
	return s->rc;
}

uint64_t store_bytes(const struct store *s)
{
	auto_free char *wal = NULL;
	uint64_t bytes = 0;
	struct stat st;

	if (!s->path)
		return 0;
	if (!stat(s->path, &st))
		bytes += (uint64_t)st.st_size;
	if (asprintf(&wal, "%s-wal", s->path) >= 0 && !stat(wal, &st))
		bytes += (uint64_t)st.st_size;
	return bytes;
}
