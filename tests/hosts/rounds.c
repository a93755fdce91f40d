/* SPDX-License-Identifier: MIT */
/*
 * rounds: work for the benchmarks, whose processor seconds a round are printed until it is ended.
 *
 * usage: rounds states STATES THREADS     each thread runs a chunk in its share of the states
 *        rounds live BLOCKS               waits for a line, takes so many blocks from the state's
 *                                         allocator, prints "filled", then replaces them at random
 */
#include <pthread.h>
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

#define RUNS_A_ROUND 400
#define REPLACED_A_ROUND 20000
#define BLOCK_BYTES 56

static const char chunk[] = "local t = {}\n"
			    "for i = 1, 50 do t[i] = { i, 'item ' .. i } end\n"
			    "return #t\n";

static int n_states, n_threads;
static atomic_ulong runs;

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static lua_State *new_state(void)
{
	lua_State *L = luaL_newstate();

	if (!L) {
		fprintf(stderr, "rounds: no memory\n");
		exit(1);
	}
	luaL_openlibs(L);
	if (luaL_loadstring(L, chunk))
		exit(1);
	return L;
}

/* The states of a thread, in turn. */
static void *work(void *arg)
{
	int share = n_states / n_threads;
	lua_State **L = (lua_State **)calloc((size_t)share, sizeof(*L));

	(void)arg;
	for (int i = 0; i < share; i++)
		L[i] = new_state();
	for (int i = 0;; i = (i + 1) % share) {
		lua_pushvalue(L[i], -1);
		lua_call(L[i], 0, 0);
		atomic_fetch_add(&runs, 1);
	}
	return NULL;
}

static void run_states(void)
{
	double before = cpu();
	unsigned long done = 0;

	for (int i = 0; i < n_threads; i++) {
		pthread_t t;

		if (pthread_create(&t, NULL, work, NULL))
			exit(1);
	}
	for (;;) {
		unsigned long now = atomic_load(&runs);
		double t = cpu();

		if (now - done >= RUNS_A_ROUND) {
			printf("%.6f\n", (t - before) / (double)(now - done) * RUNS_A_ROUND);
			fflush(stdout);
			done = now;
			before = t;
		}
		usleep(2000);
	}
}

static uint64_t random_number(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void run_live(size_t n)
{
	void *ud, **block = (void **)calloc(n, sizeof(*block));
	lua_Alloc f = lua_getallocf(new_state(), &ud);

	if (getchar() == EOF || !block)
		exit(1);
	for (size_t i = 0; i < n; i++)
		block[i] = f(ud, NULL, 0, BLOCK_BYTES);
	printf("filled\n");
	for (;;) {
		double before = cpu();

		for (int i = 0; i < REPLACED_A_ROUND; i++) {
			size_t k = random_number() % n;

			f(ud, block[k], BLOCK_BYTES, 0);
			block[k] = f(ud, NULL, 0, BLOCK_BYTES);
		}
		printf("%.6f\n", cpu() - before);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "states")) {
		n_states = atoi(argv[2]);
		n_threads = atoi(argv[3]);
		if (n_threads > 0 && n_states >= n_threads)
			run_states();
	}
	if (argc == 3 && !strcmp(argv[1], "live") && atol(argv[2]) > 0)
		run_live((size_t)atol(argv[2]));
	fprintf(stderr, "usage: rounds states STATES THREADS | live BLOCKS\n");
	return 2;
}
