/* SPDX-License-Identifier: MIT */
/*
 * census_arena: threads with a lua_State and a C heap each, half of which they have freed, so that
 * most of the process is neither Lua nor in use. Prints the bytes freed, "ready", and waits.
 *
 * usage: census_arena [THREADS]
 * build: -I/usr/include/lua5.4 -llua5.4 -lpthread
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS 10000
#define BLOCK 3000 /* neither kept by the thread nor given back to the system */

static atomic_int ready;
static atomic_long freed;

static void *run(void *arg)
{
	static _Thread_local void *block[BLOCKS];
	lua_State *L = luaL_newstate();

	luaL_openlibs(L);
	if (luaL_dostring(L, "t = {} for i = 1, 2000 do t[i] = { i } end"))
		abort();
	lua_newuserdatauv(L, 64 << 20, 0); /* large, and never touched */
	lua_setglobal(L, "large");
	for (int i = 0; i < BLOCKS; i++)
		block[i] = memset(malloc(BLOCK), 1, BLOCK);
	for (int i = 0; i < BLOCKS; i += 2) {
		free(block[i]);
		freed += BLOCK;
	}
	ready++;
	pause();
	return arg;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 3;
	pthread_t thread;

	for (int i = 0; i < n; i++)
		pthread_create(&thread, NULL, run, NULL);
	while (ready < n)
		usleep(1000);
	printf("freed %ld\nready\n", (long)freed);
	fflush(stdout);
	getchar();
	return 0;
}
