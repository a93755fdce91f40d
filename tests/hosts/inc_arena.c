/* SPDX-License-Identifier: MIT */
/*
 * A healthy program whose allocator serves small blocks from an array of its own (.bss), large ones
 * from malloc(): memory inside a module's image that is freed rightly.
 *
 * usage: inc_arena free|work|lend   (behind the gate: only frees what is old; works on; or makes its state
 * only then, and gives the allocator back memory that its own code took from the array)
 * Prints "ready", waits for a line, runs, prints "done", waits.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define SMALL 256
static char arena[64 << 20];
static size_t used;
static void *free_list[SMALL / 16 + 1];

static int is_ours(const void *p)
{
	return (const char *)p >= arena && (const char *)p < arena + sizeof(arena);
}

static void *take(size_t size)
{
	size_t class = (size + 15) / 16;
	void *p = free_list[class];

	if (p) {
		memcpy(&free_list[class], p, sizeof(void *));
		return p;
	}
	if (used + class * 16 > sizeof(arena))
		return NULL;
	p = arena + used;
	used += class * 16;
	return p;
}

static void give(void *p, size_t size)
{
	size_t class = (size + 15) / 16;

	memcpy(p, &free_list[class], sizeof(void *));
	free_list[class] = p;
}

static void *pool(void *ud, void *ptr, size_t osize, size_t nsize)
{
	void *n;

	(void)ud;
	if (!nsize) {
		if (ptr && is_ours(ptr))
			give(ptr, osize);
		else
			free(ptr);
		return NULL;
	}
	if (!ptr)
		return nsize <= SMALL ? take(nsize) : malloc(nsize);
	if (!is_ours(ptr) && nsize > SMALL)
		return realloc(ptr, nsize);
	n = nsize <= SMALL ? take(nsize) : malloc(nsize);
	if (!n)
		return NULL;
	memcpy(n, ptr, osize < nsize ? osize : nsize);
	pool(ud, ptr, osize, 0);
	return n;
}

static lua_State *new_state(void)
{
#if LUA_VERSION_NUM >= 505
	lua_State *L = lua_newstate(pool, NULL, 42);
#else
	lua_State *L = lua_newstate(pool, NULL);
#endif

	if (!L)
		exit(2);
	luaL_openlibs(L);
	(void)!luaL_dostring(L, "collectgarbage('stop') for i = 1, 20000 do local t = {{}} end "
				"old = {} for i = 1, 1000 do old[i] = {} end");
	return L;
}

/* C code that shares the array with Lua, and leaves it to the allocator to take the memory back. */
static int lend(lua_State *L)
{
	void *ud;
	lua_Alloc f = lua_getallocf(L, &ud);

	f(ud, take(96), 96, 0);
	return 0;
}

int main(int argc, char **argv)
{
	int later = argc > 1 && !strcmp(argv[1], "lend");
	lua_State *L = later ? NULL : new_state();

	if (argc < 2)
		return 2;
	puts("ready");
	fflush(stdout);
	getchar();
	if (later) {
		L = new_state(); /* so that the allocator is known before the next one is made */
		usleep(300000);
		lua_close(L);
		L = new_state();
		lua_register(L, "lend", lend);
		(void)!luaL_dostring(L, "for i = 1, 10 do lend() end");
	} else if (!strcmp(argv[1], "free")) {
		lua_gc(L, LUA_GCCOLLECT, 0);
	} else {
		(void)!luaL_dostring(L, "collectgarbage('restart') for k = 1, 20 do for i = 1, 1000 do "
					"old[i] = {tostring(i)} end collectgarbage() end");
	}
	puts("done");
	fflush(stdout);
	getchar();
	lua_close(L);
	return 0;
}
