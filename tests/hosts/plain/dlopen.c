/* SPDX-License-Identifier: MIT. build: -ldl */
/*
 * dlopen: loads each LIBRARY privately, opens a state in it and runs SCRIPT there.
 * usage: dlopen [-l] SCRIPT LIBRARY…
 *
 * With -l, prints "ready" and waits for a line before it loads all but the first.
 * Prints "ready" (with -l "loaded"), waits for a line on stdin, runs the script in each state in turn, prints "end",
 * waits for another line.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COPIES 8

struct copy {
	void *L;
	int (*loadfilex)(void *L, const char *file, const char *mode); /* 5.2 and later */
	int (*loadfile)(void *L, const char *file);
	int (*pcallk)(void *L, int nargs, int nresults, int errfunc, long ctx, void *k);
	int (*pcall)(void *L, int nargs, int nresults, int errfunc);
};

static void *need(void *lib, const char *name)
{
	void *f = dlsym(lib, name);

	if (!f) {
		fprintf(stderr, "dlopen: %s\n", dlerror());
		exit(1);
	}
	return f;
}

static void open_copy(struct copy *c, const char *file)
{
	void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL);

	if (!lib) {
		fprintf(stderr, "dlopen: %s\n", dlerror());
		exit(1);
	}
	c->loadfilex = dlsym(lib, "luaL_loadfilex");
	c->loadfile = dlsym(lib, "luaL_loadfile");
	c->pcallk = dlsym(lib, "lua_pcallk");
	c->pcall = dlsym(lib, "lua_pcall");
	c->L = ((void *(*)(void))need(lib, "luaL_newstate"))();
	((void (*)(void *))need(lib, "luaL_openlibs"))(c->L);
}

static int run(const struct copy *c, const char *script)
{
	int bad = c->loadfilex ? c->loadfilex(c->L, script, NULL) : c->loadfile(c->L, script);

	if (!bad)
		bad = c->pcallk ? c->pcallk(c->L, 0, 0, 0, 0, NULL) : c->pcall(c->L, 0, 0, 0);
	return bad;
}

int main(int argc, char **argv)
{
	static struct copy copies[MAX_COPIES];
	bool late = argc > 1 && !strcmp(argv[1], "-l");
	int n;

	argc -= late;
	argv += late;
	n = argc - 2;
	if (n < 1 || n > MAX_COPIES)
		return 2;
	if (late) {
		open_copy(&copies[0], argv[2]);
		puts("ready");
		fflush(stdout);
		getchar();
	}
	for (int i = late; i < n; i++)
		open_copy(&copies[i], argv[i + 2]);
	puts(late ? "loaded" : "ready");
	fflush(stdout);
	getchar();
	for (int i = 0; i < n; i++)
		if (run(&copies[i], argv[1]))
			return 1;
	puts("end");
	fflush(stdout);
	getchar();
	return 0;
}
