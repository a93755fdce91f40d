/* SPDX-License-Identifier: MIT */
/*
 * resolve_file: what the resolver says of files that nothing runs, for tools/corpus.py and the
 * tests. A line for each function: file, name, address or "-", method or reason. A file that
 * holds no Lua gives one line "FILE - - no Lua".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "resolve/functions.h"
#include "resolve/known_bug.h"

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int show(const char *path)
{
	struct file f = { .open_path = (char *)path, .path = (char *)path };
	struct func_answer fn[FUNC_MAX] = { 0 };
	const struct identity *id;
	uint64_t block;
	double t0 = now_ms();

	if (elf_open(path, &f.elf, &f.err)) {
		fprintf(stderr, "%s\n", f.err.text);
		return 1;
	}
	id = file_identity(&f);
	if (!id->holds_lua) {
		printf("%s\t-\t-\tno Lua\n", path);
	} else {
		block = functions_find(&f, id->family, id->number, fn);
		printf("%s\t#\t%s %s, state of %" PRIu64 " bytes\t%.1f ms\n", path,
		       id->family == LMT_FAMILY_LUAJIT ? "luajit" : "puc", id->version, block,
		       now_ms() - t0);
	}
	for (int i = 0; id->holds_lua && i < FUNC_MAX; i++) {
		unsigned int family = func_family((enum func_id)i);

		if (family && family != id->family)
			continue;
		if (fn[i].vaddr)
			printf("%s\t%s\t0x%" PRIx64 "\t%s\n", path, func_name((enum func_id)i),
			       fn[i].vaddr, fn[i].how);
		else
			printf("%s\t%s\t-\t%s\n", path, func_name((enum func_id)i), fn[i].why_not);
	}
	if (id->holds_lua) {
		bool certain;
		const struct known_bug *bug = known_bug_of(id->family, id->version, f.code, fn, 0,
							   &certain);

		if (bug)
			printf("%s\t!\t%s\t%s\n", path, certain ? "certain" : "likely",
			       bug->reference);
	}
	code_free(f.code);
	elf_free(f.elf);
	return 0;
}

int main(int argc, char **argv)
{
	int rc = 0;

	for (int i = 1; i < argc; i++)
		rc |= show(argv[i]);
	return rc;
}
