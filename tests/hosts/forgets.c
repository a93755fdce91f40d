/* SPDX-License-Identifier: MIT */
/*
 * forgets: a program that makes its lua_State anew 20 times a second.
 * usage: forgets WHAT
 *
 * Prints "ready", waits for a line. WHAT: "bad" forgets the old state, "ok" closes it, "pool" keeps the
 * first 40 and makes no more, "sessions" closes each two seconds later. Goes on until it is ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#ifdef __cplusplus
}
#endif

#define POOL 40

static const char chunk[] = "blocked = {} for i = 1, 200 do blocked['host' .. i] = { i } end";

static __attribute__((noinline)) lua_State *read_policy(void)
{
	lua_State *L = luaL_newstate();

	if (!L || luaL_loadstring(L, chunk) || lua_pcall(L, 0, 0, 0))
		exit(1);
	return L;
}

int main(int argc, char **argv)
{
	static lua_State *states[POOL];
	const char *what = argc > 1 ? argv[1] : "";
	const struct timespec pause = { 0, 50000000 };

	puts("ready");
	fflush(stdout);
	if (getchar() == EOF)
		return 1;
	for (unsigned long n = 0;; n++) {
		lua_State **at = &states[strcmp(what, "ok") ? n % POOL : 0];

		nanosleep(&pause, NULL);
		if (!strcmp(what, "pool") && n >= POOL)
			continue;
		if (*at && strcmp(what, "bad"))
			lua_close(*at);
		*at = read_policy();
	}
}
