/* SPDX-License-Identifier: MIT */
#include "replay.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "schema.h"

#define SECONDS 20                /* of processor time, for all that is read of one file */
#define MAX_VALUE (1 << 20)       /* bytes of a row or a text */
#define CHECK_BYTES (32ull << 20) /* bigger files are not checked page by page before reading */
#define MAX_COLUMNS 40

/* Of SQLite's file header (sqlite.org/fileformat.html): how the file is to be read. */
#define READ_VERSION 19
#define WAL_MODE 2

struct replay {
	sqlite3 *db;
	char *path;
	int version;
	uint64_t deadline_ns;
	bool lacks_log; /* that belongs beside it */
};

static int foreign(const char *path, const char *why, struct errmsg *err)
{
	return errmsg_set(err, -EBADMSG, "cannot read '%s': %s", path, why);
}

static int damaged(const struct replay *r, int code, struct errmsg *err)
{
	if ((code & 0xff) == SQLITE_INTERRUPT)
		return foreign(r->path, "reading takes too long; is it damaged?", err);
	if ((code & 0xff) == SQLITE_NOTADB)
		return foreign(r->path, "it is no incident file of luamemtrace", err);
	if ((code & 0xff) == SQLITE_CANTOPEN)
		return foreign(r->path, "its -wal file needs a folder that can be written; copy both "
			       "elsewhere", err);
	if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED)
		return foreign(r->path, "another program has locked it; try again later", err);
	return errmsg_set(err, -EBADMSG, "cannot read '%s': it is damaged (%s)", r->path,
			  sqlite3_errstr(code));
}

void replay_free(struct replay *r)
{
	if (!r)
		return;
	sqlite3_close(r->db);
	free(r->path);
	free(r);
}

static int on_progress(void *ctx)
{
	const struct replay *r = ctx;

	return clock_ns(CLOCK_PROCESS_CPUTIME_ID) > r->deadline_ns;
}

/* What the file says it may do is not believed. */
static void harden(struct replay *r)
{
	sqlite3_db_config(r->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(r->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(r->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(r->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(r->db, SQLITE_LIMIT_LENGTH, MAX_VALUE);
	sqlite3_limit(r->db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_limit(r->db, SQLITE_LIMIT_EXPR_DEPTH, 100);
	sqlite3_progress_handler(r->db, 10000, on_progress, r);
	sqlite3_busy_timeout(r->db, 2000);
	r->deadline_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) + SECONDS * 1000000000ull;
}

static int open_as(struct replay *r, int flags, bool immutable)
{
	auto_free char *full = realpath(r->path, NULL);
	auto_free char *uri = NULL;
	size_t size = full ? strlen(full) * 3 + 64 : 0;
	char *at;
	int code;

	sqlite3_close(r->db);
	r->db = NULL;
	if (!full || !(uri = malloc(size)))
		return SQLITE_NOMEM;
	at = stpcpy(uri, "file:");
	for (const char *p = full; *p; p++) /* '?', '#' and '%' mean something in a URI */
		at += sprintf(at, strchr("?#%", *p) ? "%%%02x" : "%c", (unsigned char)*p);
	strcpy(at, immutable ? "?immutable=1" : "");
	code = sqlite3_open_v2(uri, &r->db, flags | SQLITE_OPEN_URI, NULL);
	if (!code) {
		harden(r);
		code = sqlite3_exec(r->db, "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;"
				    "PRAGMA mmap_size = 0; SELECT count(*) FROM sqlite_schema",
				    NULL, NULL, NULL);
	}
	return code;
}

static bool has_log(const char *path)
{
	auto_free char *wal = NULL;
	struct stat st;

	return asprintf(&wal, "%s-wal", path) >= 0 && !stat(wal, &st) && st.st_size > 0;
}

/*
 * A recorder that was killed leaves its log behind, sometimes one that must be rolled back, which
 * needs a write. A folder that cannot be written is fine when there is no log.
 */
static int open_db(struct replay *r, struct errmsg *err)
{
	int code = open_as(r, SQLITE_OPEN_READONLY, false);

	if (((code & 0xff) == SQLITE_READONLY || (code & 0xff) == SQLITE_CANTOPEN) &&
	    !has_log(r->path))
		code = open_as(r, SQLITE_OPEN_READONLY, true);
	else if ((code & 0xff) == SQLITE_READONLY || (code & 0xff) == SQLITE_CANTOPEN)
		code = open_as(r, SQLITE_OPEN_READWRITE, false);
	return code ? damaged(r, code, err) : 0;
}

struct number {
	int64_t n;
};

static int take_number(const struct cell *cells, size_t n, void *ctx)
{
	if (n)
		((struct number *)ctx)->n = cells[0].i;
	return 0;
}

static int check_version(struct replay *r, struct errmsg *err)
{
	struct number id = { 0 }, version = { 0 };
	int rc = replay_query(r, "PRAGMA application_id", NULL, 0, take_number, &id, err);

	if (!rc)
		rc = replay_query(r, "PRAGMA user_version", NULL, 0, take_number, &version, err);
	if (rc)
		return rc;
	if (id.n != LMT_STORE_APPLICATION_ID)
		return foreign(r->path, "it is no incident file of luamemtrace", err);
	if (version.n > LMT_STORE_VERSION)
		return errmsg_set(err, -EBADMSG, "cannot read '%s': its schema is version %lld, made by "
				  "a newer luamemtrace; this one, " LMT_VERSION ", reads up to %d",
				  r->path, (long long)version.n, LMT_STORE_VERSION);
	if (version.n < 1)
		return foreign(r->path, "its schema has no version", err);
	r->version = (int)version.n;
	return 0;
}

struct schema_check {
	const struct replay *r;
	size_t found;
	bool forged;
};

/* type, name, sql of one entry of sqlite_schema */
static int check_entry(const struct cell *cells, size_t n, void *ctx)
{
	struct schema_check *c = ctx;
	const struct schema_table *t;

	if (n < 4 || cells[0].type != CELL_TEXT || cells[1].type != CELL_TEXT)
		return 0;
	t = schema_find(cells[1].text, c->r->version);
	if (!t)
		return 0; /* not ours, never read */
	if (strcmp(cells[0].text, "table") || cells[2].type != CELL_TEXT || cells[3].i <= 0 ||
	    strcmp(cells[2].text, t->sql))
		c->forged = true;
	c->found++;
	return 0;
}

static int check_schema(struct replay *r, struct errmsg *err)
{
	struct schema_check c = { .r = r };
	size_t n, expected = 0;
	const struct schema_table *tables = schema_tables(&n);
	int rc = replay_query(r, "SELECT type, name, sql, rootpage FROM sqlite_schema", NULL, 0,
			      check_entry, &c, err);

	for (size_t i = 0; i < n; i++)
		expected += schema_find(tables[i].name, r->version) == &tables[i];
	if (!rc && (c.forged || c.found != expected))
		return foreign(r->path, "its tables are not those of an incident file", err);
	return rc;
}

static int take_check(const struct cell *cells, size_t n, void *ctx)
{
	bool *bad = ctx;

	*bad |= n < 1 || cells[0].type != CELL_TEXT || strcmp(cells[0].text, "ok");
	return 0;
}

/* Big files are believed until a page turns out to be bad: opening must not read all of it. */
static int check_pages(struct replay *r, struct errmsg *err)
{
	struct stat st;
	bool bad = false;
	int rc;

	if (stat(r->path, &st) || (uint64_t)st.st_size > CHECK_BYTES)
		return 0;
	rc = replay_query(r, "PRAGMA quick_check(1)", NULL, 0, take_check, &bad, err);
	return rc ? rc : bad ? damaged(r, SQLITE_CORRUPT, err) : 0;
}

/* Asked before the file is opened: SQLite makes an empty log. */
static bool lacks_log(const struct replay *r)
{
	auto_fclose FILE *f = fopen(r->path, "re");
	auto_free char *log = NULL;
	unsigned char head[20];

	if (!f || fread(head, 1, sizeof(head), f) != sizeof(head) || head[READ_VERSION] != WAL_MODE)
		return false;
	if (asprintf(&log, "%s-wal", r->path) < 0) {
		log = NULL;
		return false;
	}
	return access(log, F_OK);
}

int replay_open(const char *path, struct replay **ret, struct errmsg *err)
{
	struct replay *r;
	struct stat st;
	int rc;

	if (stat(path, &st) || access(path, R_OK))
		return errmsg_set(err, errno == EACCES ? -EACCES : -ENOENT, "cannot read '%s': %s", path,
				  strerror(errno));
	if (!S_ISREG(st.st_mode))
		return foreign(path, "it is not a file", err);
	r = calloc(1, sizeof(*r));
	if (!r || !(r->path = strdup(path))) {
		replay_free(r);
		return errmsg_set(err, -ENOMEM, "out of memory");
	}
	r->lacks_log = lacks_log(r);
	rc = st.st_size ? open_db(r, err) : foreign(path, "it is empty", err);
	rc = rc ? rc : check_version(r, err);
	rc = rc ? rc : check_schema(r, err);
	rc = rc ? rc : check_pages(r, err);
	if (rc) {
		replay_free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

const char *replay_path(const struct replay *r)
{
	return r->path;
}

bool replay_lacks_log(const struct replay *r)
{
	return r->lacks_log;
}

/* " name TYPE" in the text of the table, which is known to be ours. */
bool replay_has(const struct replay *r, const char *table, const char *column)
{
	const struct schema_table *t = schema_find(table, r->version);
	char name[80];

	if (!t || !column)
		return t != NULL;
	snprintf(name, sizeof(name), " %s ", column);
	if (strstr(t->sql, name))
		return true;
	snprintf(name, sizeof(name), "(%s ", column);
	return strstr(t->sql, name) != NULL;
}

static struct cell cell_of(sqlite3_stmt *stmt, int i)
{
	struct cell c = { .type = CELL_NULL };

	switch (sqlite3_column_type(stmt, i)) {
	case SQLITE_INTEGER:
		return cell_int(sqlite3_column_int64(stmt, i));
	case SQLITE_FLOAT:
		return cell_real(sqlite3_column_double(stmt, i));
	case SQLITE_TEXT:
		return cell_text((const char *)sqlite3_column_text(stmt, i));
	default:
		return c;
	}
}

int replay_query(struct replay *r, const char *sql, const int64_t *args, size_t n_args,
		 int (*fn)(const struct cell *cells, size_t n, void *ctx), void *ctx,
		 struct errmsg *err)
{
	struct cell cells[MAX_COLUMNS];
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(r->db, sql, -1, &stmt, NULL), rc = 0;
	int n = sqlite3_column_count(stmt);

	if (!code && (n > MAX_COLUMNS || !stmt))
		code = SQLITE_CORRUPT;
	for (size_t i = 0; !code && i < n_args; i++)
		code = sqlite3_bind_int64(stmt, (int)i + 1, args[i]);
	while (!code && !rc && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		for (int i = 0; i < n; i++)
			cells[i] = cell_of(stmt, i);
		code = SQLITE_OK;
		rc = fn(cells, (size_t)n, ctx);
	}
	if (!rc && code && code != SQLITE_DONE)
		rc = damaged(r, code, err);
	sqlite3_finalize(stmt);
	return rc;
}
