/* SPDX-License-Identifier: MIT */
#include "record_census.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "archive/archive_fields.h"
#include "base/clock.h"
#include "base/log.h"
#include "trace/session.h"

#define PAUSE_NS 10000000000ull /* between two that nobody asked for */
#define GROWN_BYTES (1u << 20)  /* …and more than doubled */
#define LIMIT_S 30              /* of processor time, and of waiting in a stop or for a disk */
#define END_WAIT_NS 10000000000ull
#define MAX_TEXT (1u << 16)

struct found {
	struct strpool *strings;
	vec_of(struct report_census) censuses;
	vec_of(struct report_object) objects;
	vec_of(struct report_holder) holders;
};

struct record_census {
	pid_t child; /* 0: none is under way */
	FILE *file;  /* what it writes into */
	uint64_t started_ns, heap_bytes, findings; /* of the latest that was started */
	bool begun, fresh;
	char reason[64];
	struct found found; /* by the latest that found something */
};

int record_census_new(struct record_census **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void found_deinit(struct found *f)
{
	vec_deinit(&f->censuses);
	vec_deinit(&f->objects);
	vec_deinit(&f->holders);
	strpool_free(f->strings);
	f->strings = NULL;
}

static void end_child(struct record_census *k)
{
	if (!k->child)
		return;
	kill(k->child, SIGKILL); /* what it holds still goes on then: see census/stop.h */
	waitpid(k->child, NULL, 0);
	k->child = 0;
}

void record_census_free(struct record_census *k)
{
	if (!k)
		return;
	end_child(k);
	if (k->file)
		fclose(k->file);
	found_deinit(&k->found);
	free(k);
}

static bool get_cell(FILE *f, struct strpool *pool, char *buf, struct cell *ret)
{
	int type = getc(f);
	uint32_t len;

	*ret = (struct cell){ .type = CELL_NULL };
	if (type == CELL_NULL)
		return true;
	ret->type = (enum cell_type)type;
	if (type == CELL_INT)
		return fread(&ret->i, sizeof(ret->i), 1, f) == 1;
	if (type != CELL_TEXT || fread(&len, sizeof(len), 1, f) != 1 || len >= MAX_TEXT ||
	    fread(buf, 1, len, f) != len)
		return false;
	buf[len] = '\0';
	ret->text = strpool_get(pool, strpool_add(pool, buf));
	return true;
}

static int keep_row(struct found *to, int row, const struct cell *cells)
{
	union {
		struct report_census census;
		struct report_object object;
		struct report_holder holder;
	} u;

	memset(&u, 0, sizeof(u));
	switch (row) {
	case CENSUS_ROW_CENSUS:
		return part_set(&part_census, &u.census, cells, to->strings)
			       ? vec_push(&to->censuses, u.census) : -EBADMSG;
	case CENSUS_ROW_OBJECT:
		return part_set(&part_object, &u.object, cells, to->strings)
			       ? vec_push(&to->objects, u.object) : -EBADMSG;
	default:
		return part_set(&part_holder, &u.holder, cells, to->strings)
			       ? vec_push(&to->holders, u.holder) : -EBADMSG;
	}
}

/* All whole rows; the last may be cut off, when time was over. */
static int read_rows(struct found *to, FILE *f)
{
	static const struct part *const parts[] = { &part_census, &part_object, &part_holder };
	static char buf[MAX_TEXT];
	struct cell cells[PART_COLUMNS];
	int row, rc = to->strings ? 0 : -ENOMEM;

	while (!rc && (row = getc(f)) != EOF && row < CENSUS_ROW_MAX) {
		for (size_t i = 0; i < parts[row]->n; i++)
			if (!get_cell(f, to->strings, buf, &cells[i]))
				return 0;
		rc = keep_row(to, row, cells);
	}
	return rc == -ENOMEM ? rc : 0;
}

static bool tells_something(const struct found *f)
{
	vec_each(c, &f->censuses)
		if (!c->why_not)
			return true;
	return false;
}

/* Takes in what the other process found, once it has ended. */
static int collect(struct record_census *k)
{
	struct found now = { .strings = strpool_new() };
	int rc;

	k->child = 0;
	rewind(k->file);
	rc = read_rows(&now, k->file);
	fclose(k->file);
	k->file = NULL;
	if (rc || !now.censuses.n || (!tells_something(&now) && tells_something(&k->found))) {
		found_deinit(&now);
		return rc;
	}
	found_deinit(&k->found);
	k->found = now;
	k->fresh = true;
	return 0;
}

static int collect_if_done(struct record_census *k)
{
	return k->child && waitpid(k->child, NULL, WNOHANG) ? collect(k) : 0;
}

static _Noreturn void run_child(struct session *s, const char *reason, FILE *file, pid_t parent)
{
	sigset_t alarm_only;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	signal(SIGALRM, SIG_DFL);
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &alarm_only, NULL);
	alarm(LIMIT_S);
	if (log_level() == LOG_NORMAL)
		log_set_level(LOG_QUIET);
	record_census_take(s, reason, file);
	fflush(file);
	_exit(0);
}

static int start(struct record_census *k, struct session *s, const char *reason)
{
	int fd = memfd_create("luamemtrace census", MFD_CLOEXEC);
	pid_t self = getpid();

	snprintf(k->reason, sizeof(k->reason), "%s", reason);
	k->begun = true;
	k->started_ns = clock_ns(CLOCK_MONOTONIC);
	k->file = fd >= 0 ? fdopen(fd, "w+") : NULL;
	if (!k->file)
		return fd >= 0 ? (close(fd), -ENOMEM) : 0;
	k->child = fork();
	if (!k->child)
		run_child(s, k->reason, k->file, self);
	if (k->child > 0)
		return 0;
	log_warn("no census: %s", strerror(errno));
	k->child = 0;
	fclose(k->file);
	k->file = NULL;
	return 0;
}

static uint64_t heap_of(const struct report *r)
{
	uint64_t bytes = 0;

	vec_each(st, &r->states)
		if (st->heap_known && !st->closed_realtime_ns)
			bytes += st->heap_bytes;
	return bytes;
}

static const char *due(const struct record_census *k, const struct report *r, const char *why)
{
	uint64_t heap = heap_of(r);

	if (!heap)
		return NULL;
	if (!k->begun)
		return "start";
	if (why)
		return why;
	if (clock_ns(CLOCK_MONOTONIC) - k->started_ns < PAUSE_NS)
		return NULL;
	if (r->findings.n > k->findings)
		return "finding";
	return heap > 2 * k->heap_bytes && heap > k->heap_bytes + GROWN_BYTES ? "growth" : NULL;
}

int record_census_look(struct record_census *k, struct session *s, const struct report *r,
		       const char **why)
{
	const char *reason;
	int rc = collect_if_done(k);

	reason = !rc && !k->child ? due(k, r, *why) : NULL;
	if (!reason)
		return rc;
	*why = NULL;
	k->heap_bytes = heap_of(r);
	k->findings = r->findings.n;
	return start(k, s, reason);
}

/* Somebody presses Ctrl-C again: that is long enough. */
static bool is_interrupted(void)
{
	sigset_t set;

	return !sigpending(&set) && (sigismember(&set, SIGINT) || sigismember(&set, SIGTERM));
}

static int wait_for(struct record_census *k)
{
	uint64_t until = clock_ns(CLOCK_MONOTONIC) + END_WAIT_NS;
	int rc = collect_if_done(k);

	while (!rc && k->child) {
		if (clock_ns(CLOCK_MONOTONIC) > until || is_interrupted()) {
			end_child(k);
			return collect(k); /* what is there */
		}
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		rc = collect_if_done(k);
	}
	return rc;
}

int record_census_end(struct record_census *k, struct session *s)
{
	bool any = false;
	int rc = wait_for(k);

	vec_each(t, &s->targets.all)
		any |= !session_target_ended(t);
	if (rc || !any)
		return rc;
	rc = start(k, s, "end");
	return rc ? rc : wait_for(k);
}

bool record_census_is_new(struct record_census *k)
{
	bool fresh = k->fresh;

	k->fresh = false;
	return fresh;
}

#define SHOW(to, from, only)                                                    \
	vec_each(row_, from)                                                    \
		if (!rc && (!(only) || row_->state == (only)))                  \
			rc = vec_push(to, *row_);

int record_census_show(const struct record_census *k, const struct session *s, struct report *r)
{
	uint64_t only = r->last ? s->cfg.only_state : 0;
	int rc = 0;

	SHOW(&r->censuses, &k->found.censuses, only)
	SHOW(&r->objects, &k->found.objects, only)
	SHOW(&r->holders, &k->found.holders, only)
	return rc ? -ENOMEM : 0;
}
