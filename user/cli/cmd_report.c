/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "report/archive.h"
#include "report/format.h"
#include "report/page.h"
#include "report/sort.h"
#include "stored.h"

/* A word nobody can guess, so that nothing that slipped in could run as a script. */
static void make_nonce(char nonce[33])
{
	unsigned char bytes[16] = { 0 };

	if (getrandom(bytes, sizeof(bytes), 0) < 0)
		bytes[0] = 1;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(nonce + 2 * i, 3, "%02x", bytes[i]);
}

static int write_page(const struct options *o, const struct report *r, struct errmsg *err)
{
	auto_free char *path = stored_path(o->words[0]);
	bool to_stdout = !strcmp(o->html, "-");
	FILE *out = to_stdout ? stdout : fopen(o->html, "we");
	char nonce[33];
	bool bad;

	if (!out)
		return errmsg_set(err, -EIO, "cannot write '%s': %s", o->html, strerror(errno));
	make_nonce(nonce);
	page_write(r, path, nonce, out);
	bad = fflush(out) || ferror(out);
	if (!to_stdout && fclose(out))
		bad = true;
	return bad && !to_stdout ? errmsg_set(err, -EIO, "cannot write '%s': %s", o->html,
					      strerror(errno)) : 0;
}

/* Only findings of the kinds asked for. */
static void keep_kinds(struct report *r, uint32_t kinds)
{
	size_t n = 0;

	if (!kinds)
		return;
	for (size_t i = 0; i < r->findings.n; i++) {
		if (kinds & 1u << r->findings.v[i].kind)
			r->findings.v[n++] = r->findings.v[i];
		else
			vec_deinit(&r->findings.v[i].evidence);
	}
	r->findings.n = n;
}

static int write_report(const struct options *o, struct loaded_report *l, struct errmsg *err)
{
	struct format_options fo = {
		.color = !o->no_color && !getenv("NO_COLOR") && isatty(STDOUT_FILENO),
		.first = true,
	};

	report_sort_sites(&l->r, (enum sort_key)o->sort);
	if (stored_keep_state(&l->r, (uint32_t)o->only_state, err))
		return -ENOMEM;
	keep_kinds(&l->r, o->kinds);
	if (o->html)
		return write_page(o, &l->r, err);
	l->r.top = o->top_given ? o->top : o->json ? 0 : 10;
	format_find(o->json ? "json" : "text")->write(&l->r, &fo, stdout);
	return 0;
}

int cmd_report(int argc, char **argv)
{
	struct loaded_report l = { 0 };
	struct options o;
	struct errmsg err;
	int status, rc;

	if (!command_begin(&o, COMMAND_REPORT, argc, argv, &status)) {
		options_deinit(&o);
		return status;
	}
	if (o.n_words != 1)
		rc = errmsg_set(&err, -EINVAL, "which file? luamemtrace report FILE.db; see --help");
	else
		rc = stored_load(o.words[0], o.html != NULL, &l, &err);
	if (!rc)
		rc = write_report(&o, &l, &err);
	status = o.exit_code && l.r.findings.n ? EXIT_FINDINGS : EXIT_DONE;
	loaded_report_free(&l);
	options_deinit(&o);
	if (rc)
		return command_fail(rc, &err);
	return command_flush() ? status : EXIT_WRITE;
}
