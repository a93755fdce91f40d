/* SPDX-License-Identifier: MIT. build: -I/usr/include/lua5.4 -llua5.4 */
/*
 * skynet_short: services as skynet has them, that end at once and leave a block behind each.
 * usage: skynet_short N; gates as in dlopen.c
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct queue {
	uint32_t lock, handle;
};

/* The members that a handle is told by; see user/census/label.c. */
struct context {
	struct snlua *instance;
	char a[24];
	struct queue *queue;
	char b[56];
	uint32_t handle;
};

struct snlua {
	lua_State *L;
	struct context *ctx;
};

static void *alloc(void *ud, void *ptr, size_t osize, size_t nsize)
{
	(void)ud;
	(void)osize;
	if (nsize)
		return realloc(ptr, nsize);
	free(ptr);
	return NULL;
}

static int forget(lua_State *L)
{
	void *ud;
	lua_Alloc f = lua_getallocf(L, &ud);

	memset(f(ud, NULL, 0, 500), 1, 500);
	return 0;
}

static void serve(uint32_t number)
{
	struct context ctx = { .handle = 0x100 + number };
	struct queue queue = { .handle = ctx.handle };
	struct snlua self = { .ctx = &ctx };
	char name[32];

	ctx.instance = &self;
	ctx.queue = &queue;
	self.L = lua_newstate(alloc, &self);
	luaL_openlibs(self.L);
	snprintf(name, sizeof(name), "short%u", number);
	lua_pushstring(self.L, name);
	lua_setglobal(self.L, "SERVICE_NAME");
	lua_pushcfunction(self.L, forget);
	lua_call(self.L, 0, 0);
	lua_close(self.L);
}

int main(int argc, char **argv)
{
	struct context ctx = { .handle = 1 };
	struct queue queue = { .handle = 1 };
	struct snlua first = { .ctx = &ctx }; /* one that stays, as there always is */

	ctx.instance = &first;
	ctx.queue = &queue;
	first.L = lua_newstate(alloc, &first);
	luaL_openlibs(first.L);
	puts("ready");
	fflush(stdout);
	getchar();
	for (int i = 1; argc > 1 && i <= atoi(argv[1]); i++)
		serve((uint32_t)i);
	puts("done");
	fflush(stdout);
	getchar();
	return 0;
}
