/* SPDX-License-Identifier: MIT */
/*
 * err: an error a person can act on, kept in a fixed buffer on the caller's stack.
 * L0 base. Must not know Lua, BPF or the command line.
 *
 * Functions return 0 or a negative errno. Where a person could act on the failure the last
 * parameter is a struct errmsg: untouched on success, set by the layer that knows the subject,
 * prefixed by callers that know the purpose. The errno chooses the exit status (cli/options.h):
 * ESRCH no such process or no Lua, EACCES/EPERM no permission, EOPNOTSUPP the kernel lacks it.
 */
#ifndef LMT_BASE_ERR_H
#define LMT_BASE_ERR_H

struct errmsg {
	char text[512];
};

/* Sets the text (lower case, no full stop, then what to do) and returns rc. err may be NULL. */
int errmsg_set(struct errmsg *err, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Our own invariant is broken: say where and abort. Never for a user's or a target's fault. */
#define BUG() errmsg_bug(__FILE__, __LINE__)
void errmsg_bug(const char *file, int line) __attribute__((noreturn));

#endif
