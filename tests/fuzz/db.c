/* SPDX-License-Identifier: MIT */
/*
 * Hostile incident files through everything that reads them: SQLite's pages, the check of the
 * schema, loading, and every form in which a file is shown. A target for libFuzzer, or for
 * drive.c.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli/stored.h"
#include "report/diff.h"
#include "report/flame.h"
#include "report/format.h"
#include "report/page.h"
#include "report/sort.h"

#define SECONDS 60 /* of processor time for one input, under sanitizers; the reader's limit is 20 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show_graphs(const struct report *r, FILE *out)
{
	const struct page_source from = { "file.db", stored_describe };
	struct flame *f = NULL;

	if (flame_new(&f) || flame_add(f, r, false))
		abort();
	flame_finish(f);
	folded_write(f, METRIC_INUSE_SPACE, out);
	svg_write(f, r, METRIC_ALLOC_SPACE, out);
	html_write(f, r, METRIC_INUSE_SPACE, "nonce", out);
	page_write(r, f, &from, "nonce", out);
	pprof_write(r, out);
	flame_free(f);
}

static void show(struct report *r, FILE *out)
{
	const struct format_options opt = { .first = true };

	report_sort_sites(r, SORT_VERDICT);
	text_write(r, &opt, out);
	json_write(r, &opt, out);
	show_graphs(r, out);
}

static void compare(const struct report *a, const struct report *b, FILE *out)
{
	const struct format_options opt = { .first = true };
	struct diff d;

	if (diff_build(a, b, 1, &d))
		return;
	diff_write_text(&d, 0, &opt, out);
	diff_write_json(&d, 0, out);
	diff_deinit(&d);
}

/* The last moment of the file and its first, if they can be read. */
static void read_file(const char *path, FILE *out)
{
	struct loaded_report last = { .strings = NULL }, first = { .strings = NULL };
	struct errmsg err;
	char start[200];

	snprintf(start, sizeof(start), "%s@0", path);
	if (!stored_load(path, true, &last, &err)) {
		show(&last.r, out);
		if (!stored_load(start, false, &first, &err))
			compare(&first.r, &last.r, out);
		loaded_report_free(&first);
	}
	loaded_report_free(&last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *out;
	static char path[100];
	clock_t start = clock();
	FILE *f;

	if (!out) {
		out = fopen("/dev/null", "w");
		snprintf(path, sizeof(path), "%s/luamemtrace-fuzz-%d.db",
			 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", getpid());
	}
	f = fopen(path, "wb");
	if (!out || !f || fwrite(data, 1, size, f) != size || fclose(f))
		abort();
	read_file(path, out);
	unlink(path);
	if ((clock() - start) / CLOCKS_PER_SEC > SECONDS)
		abort(); /* a query that hangs */
	return 0;
}
