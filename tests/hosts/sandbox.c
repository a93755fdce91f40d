/* SPDX-License-Identifier: MIT */
/*
 * sandbox: runs Lua behind a seccomp filter that kills the process for any system call but those which
 * reading, writing and the C heap need.
 *
 * Prints "ready", waits for a line, makes tables, catches errors, prints "done", waits for a line.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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

static const char chunk[] = "for i = 1, 20000 do local t = {i} pcall(error, t) end\n";

#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int lock_up(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read), ALLOW(SYS_write), ALLOW(SYS_brk), ALLOW(SYS_mmap), ALLOW(SYS_munmap),
		ALLOW(SYS_mremap), ALLOW(SYS_mprotect), ALLOW(SYS_madvise), ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { sizeof(filter) / sizeof(filter[0]), filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static void wait_line(void)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		;
}

int main(void)
{
	lua_State *L = luaL_newstate();

	if (!L)
		return 1;
	luaL_openlibs(L);
	if (luaL_loadstring(L, chunk) || lock_up())
		return 1;
	if (write(STDOUT_FILENO, "ready\n", 6) != 6)
		return 1;
	wait_line();
	if (lua_pcall(L, 0, 0, 0) || write(STDOUT_FILENO, "done\n", 5) != 5)
		return 1;
	wait_line();
	_exit(0);
}
