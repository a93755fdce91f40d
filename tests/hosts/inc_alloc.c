/* SPDX-License-Identifier: MIT */
/*
 * A program whose allocator, or whose use of it, breaks the contract in one way each.
 *
 * usage: inc_alloc MODE
 *   good     none: the healthy twin
 *   once     refuses the next growth to 64 KiB or more, one time
 *   twice    refuses it two times
 *   shrink   refuses to make blocks smaller
 *   osize    a C function frees 100 bytes of Lua's allocator as 64
 *   double   a C function frees a block of it twice (the allocator notices and ignores it)
 *   foreign  a C function frees memory that is not the allocator's (ignored as well)
 *   outlive  ten blocks of 88 bytes behind a function's prototype stay when a state is closed
 *   handed   the same, but the program frees them a little later
 *   plain    the same, of several sizes, by plain free(); nobody is given that memory again
 *   half     every second of the ten goes that way, the others stay
 *   many     states come and go, nothing stays
 *
 * Prints "ready", waits for a line, runs, prints what it did as JSON, "done", waits, exits.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define LIMIT 65536
#define MAGIC 0x6c75616d656d6f72ull

struct head {
	uint64_t size, magic;
};

static struct {
	int refuse, shrink;
	unsigned long refused, shrinks, mismatches, frees_ignored, outlived;
} is;
static const char *mode;

static void *give_back(struct head *h, size_t osize)
{
	if (h->magic != MAGIC) {
		is.frees_ignored++;
		return NULL;
	}
	if (h->size != osize)
		is.mismatches++;
	h->magic = 0;
	free(h);
	return NULL;
}

static void *contract(void *ud, void *ptr, size_t osize, size_t nsize);
/* Never called directly: an inlined copy would be out of the tracer's sight. */
static lua_Alloc volatile allocator = contract;

static void *contract(void *ud, void *ptr, size_t osize, size_t nsize)
{
	struct head *h = ptr ? (struct head *)ptr - 1 : NULL, *n;

	(void)ud;
	if (!nsize)
		return h ? give_back(h, osize) : NULL;
	if (h && nsize <= h->size && is.shrink && nsize < h->size) {
		is.shrinks++;
		return NULL;
	}
	if (is.refuse && nsize >= LIMIT && (!h || nsize > h->size)) {
		is.refuse--;
		is.refused++;
		return NULL;
	}
	n = realloc(h, sizeof(*n) + nsize);
	if (!n)
		return NULL;
	n->size = nsize;
	n->magic = MAGIC;
	return n + 1;
}

static void *kept[64];
static int n_kept;

/* What a C library that allocates through the state does right or wrong. */
static int lib(lua_State *L)
{
	void *ud, *p;
	lua_Alloc f = lua_getallocf(L, &ud);

	p = f(ud, NULL, 0, 100);
	if (!strcmp(mode, "osize")) {
		f(ud, p, 64, 0);
	} else if (!strcmp(mode, "double")) {
		f(ud, p, 100, 0);
		f(ud, p, 100, 0);
	} else if (!strcmp(mode, "foreign")) {
		char *mine = malloc(128);

		memset(mine, 0, 128);
		f(ud, p, 100, 0);
		f(ud, mine + 32, 64, 0);
		free(mine);
	} else {
		f(ud, p, 100, 0);
	}
	return 0;
}

/* A prototype, and right behind it 88 bytes without a type. */
static int keep(lua_State *L)
{
	static const size_t sizes[] = { 88, 24, 600, 3000, 300000 };
	int n = strcmp(mode, "plain") ? 1 : 5;
	void *ud;
	lua_Alloc f = lua_getallocf(L, &ud);

	for (int i = 0; i < n; i++)
		kept[n_kept++ % 64] = f(ud, NULL, 0, sizes[i]);
	return 0;
}

static int arm(lua_State *L)
{
	(void)L;
	is.refuse = !strcmp(mode, "once") ? 1 : !strcmp(mode, "twice") ? 2 : 0;
	is.shrink = !strcmp(mode, "shrink");
	return 0;
}

static const char script[] =
	"for i = 1, 10 do lib() end\n"
	"local waste = {}\n"
	"for i = 1, 2000 do waste[i] = {i} end\n"
	"waste = nil\n"
	"arm()\n"
	"print(pcall(function()\n"
	"  local t = {}\n"
	"  for i = 1, 20000 do t[i] = i end\n"
	"end))\n"
	"local big = {}\n"
	"for i = 1, 20000 do big['k' .. i] = i end\n"
	"big = nil\n"
	"collectgarbage() collectgarbage()\n"
	"for i = 1, 50 do pcall(load or loadstring, 'local x = ' .. i .. ' return x') end\n";

static const char service[] =
	"for i = 1, 10 do\n"
	"  local f = (loadstring or load)('return ' .. i)\n"
	"  keep()\n"
	"end\n";

static lua_State *open_state(const char *text, size_t len, const char *name)
{
#if LUA_VERSION_NUM >= 505
	lua_State *L = lua_newstate(contract, NULL, 42);
#else
	lua_State *L = lua_newstate(contract, NULL);
#endif

	if (!L)
		exit(3);
	luaL_openlibs(L);
	lua_register(L, "lib", lib);
	lua_register(L, "keep", keep);
	lua_register(L, "arm", arm);
	if (luaL_loadbuffer(L, text, len, name))
		puts("# not loaded");
	return L;
}

static void run(lua_State *L)
{
	if (lua_pcall(L, 0, 0, 0))
		printf("# %s\n", lua_tostring(L, -1));
}

static void services(int n)
{
	for (int i = 0; i < n; i++) {
		lua_State *L = open_state(service, sizeof(service) - 1, "@service.lua");

		n_kept = 0;
		run(L);
		if (!strcmp(mode, "many"))
			for (int k = 0; k < n_kept; k++)
				allocator(NULL, kept[k], 88, 0);
		else
			is.outlived += (unsigned long)n_kept;
		lua_close(L);
		if (!strcmp(mode, "handed")) {
			usleep(100000);
			for (int k = 0; k < n_kept; k++)
				allocator(NULL, kept[k], 88, 0);
		}
		if (!strcmp(mode, "plain") || !strcmp(mode, "half"))
			for (int k = 0; k < n_kept; k += *mode == 'p' ? 1 : 2)
				free((struct head *)kept[k] - 1);
	}
	if (n)
		sleep(1);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *mode;
		int n;
	} of_services[] = { { "outlive", 5 }, { "handed", 5 }, { "plain", 1 }, { "half", 1 }, { "many", 200 } };
	int n_services = 0;
	lua_State *L;

	if (argc < 2)
		return 2;
	mode = argv[1];
	for (size_t i = 0; i < sizeof(of_services) / sizeof(of_services[0]); i++)
		if (!strcmp(mode, of_services[i].mode))
			n_services = of_services[i].n;
	L = open_state(script, sizeof(script) - 1, "@work.lua");
	puts("ready");
	fflush(stdout);
	getchar();
	if (!n_services)
		run(L);
	services(n_services);
	/* And the same in a state that was born behind the gate. */
	if (!n_services) {
		lua_close(L);
		L = open_state(script, sizeof(script) - 1, "@work.lua");
		run(L);
	}
	printf("{\"refused\":%lu,\"shrinks\":%lu,\"mismatches\":%lu,\"ignored\":%lu,\"outlived\":%lu}\n",
	       is.refused, is.shrinks, is.mismatches, is.frees_ignored, is.outlived);
	puts("done");
	fflush(stdout);
	getchar();
	lua_close(L);
	return 0;
}
