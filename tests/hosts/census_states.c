/* SPDX-License-Identifier: MIT */
/*
 * census_states: many lua_States on several threads, some closed again, for the census to count.
 *
 * usage: census_states [-t THREADS] [-s STATES] [-c CLOSED] [-k COROUTINES] [-n TABLES] [-m MIB] [-b] [-w]
 *   -t  threads, each with its own states
 *   -s  states per thread that stay open
 *   -c  states per thread that are opened, filled and closed
 *   -k  suspended coroutines in each state
 *   -n  tables in the list `planted` of each state
 *   -m  memory of the C heap besides, written to, in blocks between those of Lua
 *   -b  go on making garbage until the second gate
 *   -w  a thread that does nothing else looks for gaps, before others if it may: what it finds is
 *       no collector's work and no crowd of other processes
 *
 * Prints "ready", waits for a line on stdin, prints one JSON line with the states' addresses and
 * the longest time that any thread found itself stopped for, "done", waits again, exits.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

#define MAX_STATES 4096
#define WATCH_US 200

static lua_State *open_states[MAX_STATES];
static atomic_int n_open, n_ready, finish;
static atomic_long longest_gap_us;
static int opt_threads = 1, opt_states = 1, opt_closed, opt_coroutines, opt_tables = 10, opt_busy, opt_mib,
	   opt_watch;

static const char fill[] =
	"local coroutines, tables = ...\n"
	"planted, threads = {}, {}\n"
	"for i = 1, tables do planted[i] = { i } end\n"
	"for i = 1, coroutines do\n"
	"  threads[i] = coroutine.create(function(a) local b = { a } coroutine.yield(b) return b end)\n"
	"  coroutine.resume(threads[i], i)\n"
	"end\n"
	"function churn() local t for i = 1, 20 do t = { t, tostring(i) } end return t end\n";

static lua_State *new_state(void)
{
	lua_State *L = luaL_newstate();

	luaL_openlibs(L);
	if (luaL_loadstring(L, fill))
		abort();
	lua_pushinteger(L, opt_coroutines);
	lua_pushinteger(L, opt_tables);
	lua_call(L, 2, 0);
	lua_gc(L, LUA_GCCOLLECT, 0);
	return L;
}

static long now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000L + ts.tv_nsec / 1000;
}

static void note_gap(long gap)
{
	if (gap > longest_gap_us)
		longest_gap_us = gap;
}

static void *watch(void *arg)
{
	long last;

	pthread_setschedparam(pthread_self(), SCHED_FIFO, &(struct sched_param){ .sched_priority = 3 });
	while (!finish) {
		last = now_us();
		usleep(WATCH_US);
		note_gap(now_us() - last - WATCH_US);
	}
	return arg;
}

static void churn(lua_State **states)
{
	long last = now_us(), gap;

	while (!finish) {
		for (int i = 0; i < opt_states; i++) {
			lua_getglobal(states[i], "churn");
			lua_call(states[i], 0, 0);
		}
		gap = now_us() - last;
		last += gap;
		if (!opt_watch)
			note_gap(gap);
	}
}

/* Blocks of 64 KiB, so that they come from the same heap as Lua's. */
static void fill_heap(int blocks)
{
	while (blocks-- > 0)
		memset(malloc(65536), 7, 65536);
}

static void *run(void *arg)
{
	lua_State **mine = (lua_State **)calloc((size_t)opt_states + 1, sizeof(*mine));

	for (int i = 0; i < opt_states || i < opt_closed; i++) {
		fill_heap(opt_mib * 16 / opt_threads / (opt_states + 1));
		if (i < opt_closed)
			lua_close(new_state());
		if (i < opt_states)
			mine[i] = open_states[n_open++] = new_state();
	}
	n_ready++;
	if (opt_busy)
		churn(mine);
	else
		while (!finish)
			usleep(20000);
	free(mine);
	return arg;
}

static void wait_gate(void)
{
	int ch;

	fflush(stdout);
	while ((ch = getchar()) != '\n' && ch != EOF)
		;
}

int main(int argc, char **argv)
{
	pthread_t thread[64], watcher;
	int opt;

	while ((opt = getopt(argc, argv, "t:s:c:k:n:m:bw")) != -1)
		switch (opt) {
		case 't': opt_threads = atoi(optarg); break;
		case 's': opt_states = atoi(optarg); break;
		case 'c': opt_closed = atoi(optarg); break;
		case 'k': opt_coroutines = atoi(optarg); break;
		case 'n': opt_tables = atoi(optarg); break;
		case 'm': opt_mib = atoi(optarg); break;
		case 'b': opt_busy = 1; break;
		case 'w': opt_watch = 1; break;
		default: return 2;
		}
	for (int i = 0; i < opt_threads; i++)
		pthread_create(&thread[i], NULL, run, NULL);
	while (n_ready < opt_threads)
		usleep(1000);
	longest_gap_us = 0;
	if (opt_watch)
		pthread_create(&watcher, NULL, watch, NULL);
	puts("ready");
	wait_gate();
	printf("{\"states\":[");
	for (int i = 0; i < n_open; i++)
		printf("%s\"0x%lx\"", i ? "," : "", (unsigned long)(uintptr_t)open_states[i]);
	printf("],\"longest_gap_us\":%ld}\ndone\n", longest_gap_us);
	wait_gate();
	finish = 1;
	for (int i = 0; i < opt_threads; i++)
		pthread_join(thread[i], NULL);
	if (opt_watch)
		pthread_join(watcher, NULL);
	return 0;
}
