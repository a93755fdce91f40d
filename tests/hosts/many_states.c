/* SPDX-License-Identifier: MIT */
/*
 * many_states: thousands of states in one process, handed from thread to thread; others born and
 * closed all the time.
 * usage: many_states STATES BIRTHS_PER_SECOND THREADS SECONDS [KEPT]
 *
 * Opens STATES states, prints "ready", waits for a line. Then for SECONDS each thread takes the next
 * state that no other holds and runs a chunk in it, and the main thread lets states be born, run the
 * chunk and close. Each state that stays keeps one table for each run, at most KEPT of them. Prints "runs N born N",
 * "done", waits for another line.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
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

static const char chunk[] = "kept = kept or {}\n"
			    "kept[(#kept < most) and #kept + 1 or 1] = {}\n"
			    "local s = ''\n"
			    "for i = 1, 5 do s = s .. i end\n";

static lua_State **states;
static atomic_char *taken;
static int n_states;
static int most_kept = 1000000000;
static atomic_uint next_state, runs;
static atomic_int over;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static lua_State *open_state(void)
{
	lua_State *L = luaL_newstate();

	if (!L || luaL_loadstring(L, chunk))
		exit(1);
	lua_pushnumber(L, most_kept);
	lua_setglobal(L, "most");
	return L;
}

static void run_in(lua_State *L)
{
	lua_pushvalue(L, 1);
	lua_call(L, 0, 0);
}

static void *work(void *arg)
{
	struct timespec pause = { 0, 200000 };

	while (!over) {
		unsigned int i = next_state++ % (unsigned int)n_states;

		if (atomic_exchange(&taken[i], 1))
			continue;
		run_in(states[i]);
		runs++;
		atomic_store(&taken[i], 0);
		nanosleep(&pause, NULL);
	}
	return arg;
}

static unsigned int give_birth(double per_s, double seconds)
{
	struct timespec pause = { 0, 2000000 };
	double start = now(), t;
	unsigned int born = 0;

	while ((t = now() - start) < seconds) {
		while (born < t * per_s) {
			lua_State *L = open_state();

			run_in(L);
			lua_close(L);
			born++;
		}
		nanosleep(&pause, NULL);
	}
	return born;
}

static void wait_line(void)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		;
}

int main(int argc, char **argv)
{
	pthread_t threads[64];
	int n_threads;
	unsigned int born;

	if (argc < 5 || argc > 6 || (n_threads = atoi(argv[3])) > 64)
		return 2;
	n_states = atoi(argv[1]);
	if (argc == 6)
		most_kept = atoi(argv[5]);
	states = calloc((size_t)n_states + 1, sizeof(states[0]));
	taken = calloc((size_t)n_states + 1, sizeof(taken[0]));
	for (int i = 0; i < n_states; i++)
		states[i] = open_state();
	printf("ready\n");
	fflush(stdout);
	wait_line();
	for (int i = 0; i < n_threads; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	born = give_birth(atof(argv[2]), atof(argv[4]));
	over = 1;
	for (int i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	printf("runs %u born %u\ndone\n", runs, born);
	fflush(stdout);
	wait_line();
	return 0;
}
