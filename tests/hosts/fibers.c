/* SPDX-License-Identifier: MIT */
/*
 * fibers: states that run on C stacks of their own, switched by swapcontext().
 * usage: fibers out|in
 *
 * out: a C function that Lua calls switches. in: the allocator does too, in the middle of a call.
 * Prints "ready", waits for a line, runs, prints "allocs N frees N", "done", waits for a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#ifdef __cplusplus
}
#endif

#define FIBERS 8
#define ROUNDS 500
#define STACK_BYTES (1 << 20)

static const char chunk[] = "local t = {} for i = 1, 5 do t[i] = {} switch() end\n";

static ucontext_t here, of[FIBERS];
static lua_State *state[FIBERS];
static int over[FIBERS];
static int current, running;
static unsigned long allocs, frees;

static void switch_stack(void)
{
	int me = current;

	swapcontext(&of[me], &here);
}

static void *plain(void *ud, void *ptr, size_t osize, size_t nsize)
{
	(void)ud;
	(void)osize;
	if (!nsize) {
		frees += ptr != NULL;
		free(ptr);
		return NULL;
	}
	allocs += ptr == NULL;
	return realloc(ptr, nsize);
}

static void *switching(void *ud, void *ptr, size_t osize, size_t nsize)
{
	static int n;

	if (running && nsize && ++n % 7 == 0)
		switch_stack();
	return plain(ud, ptr, osize, nsize);
}

static int lua_switch(lua_State *L)
{
	(void)L;
	switch_stack();
	return 0;
}

static void fiber(int i)
{
	lua_State *L = state[i];

	for (int r = 0; r < ROUNDS; r++) {
		lua_pushvalue(L, 1);
		if (lua_pcall(L, 0, 0, 0))
			exit(3);
	}
	over[i] = 1;
	swapcontext(&of[i], &here);
}

static void start(int i, lua_Alloc alloc)
{
	state[i] = lua_newstate(alloc, NULL);
	if (!state[i])
		exit(1);
	lua_pushcfunction(state[i], lua_switch);
	lua_setglobal(state[i], "switch");
	if (luaL_loadstring(state[i], chunk))
		exit(1);
	getcontext(&of[i]);
	of[i].uc_stack.ss_sp = malloc(STACK_BYTES);
	of[i].uc_stack.ss_size = STACK_BYTES;
	of[i].uc_link = &here;
	makecontext(&of[i], (void (*)(void))fiber, 1, i);
}

static void wait_line(void)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		;
}

int main(int argc, char **argv)
{
	lua_Alloc alloc = argc == 2 && !strcmp(argv[1], "in") ? switching : plain;
	int left = FIBERS;

	for (int i = 0; i < FIBERS; i++)
		start(i, alloc);
	printf("ready\n");
	fflush(stdout);
	wait_line();
	allocs = frees = 0;
	running = 1;
	while (left) {
		left = 0;
		for (current = 0; current < FIBERS; current++) {
			if (over[current])
				continue;
			left++;
			swapcontext(&here, &of[current]);
		}
	}
	running = 0;
	printf("allocs %lu frees %lu\ndone\n", allocs, frees);
	fflush(stdout);
	wait_line();
	return 0;
}
