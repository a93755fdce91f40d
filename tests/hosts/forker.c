/* SPDX-License-Identifier: MIT */
/*
 * forker: forks with a state open; parent and child then each call the script's make(n).
 * usage: forker SCRIPT N
 *
 * Prints "ready", waits for a line, forks, prints "child PID", waits for a line, the child makes N
 * objects, then the parent; prints "done", both wait for a last line.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
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

static void make(lua_State *L, int n)
{
	lua_getglobal(L, "make");
	lua_pushinteger(L, n);
	lua_call(L, 1, 0);
}

static void wait_line(void)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		;
}

int main(int argc, char **argv)
{
	lua_State *L = luaL_newstate();
	int n, turn[2];
	char byte = 0;
	pid_t child;

	if (argc != 3 || !L || pipe(turn))
		return 2;
	n = atoi(argv[2]);
	luaL_openlibs(L);
	if (luaL_dofile(L, argv[1]))
		return 1;
	printf("ready\n");
	fflush(stdout);
	wait_line();
	child = fork();
	if (child == 0) {
		printf("child %d\n", getpid());
		fflush(stdout);
		wait_line();
		make(L, n);
		if (write(turn[1], &byte, 1) != 1)
			_exit(1);
		pause();
	}
	if (read(turn[0], &byte, 1) != 1)
		return 1;
	make(L, n);
	printf("done\n");
	fflush(stdout);
	wait_line();
	kill(child, 9);
	waitpid(child, NULL, 0);
	return 0;
}
