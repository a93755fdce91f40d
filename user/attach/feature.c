/* SPDX-License-Identifier: MIT */
#include "feature.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/btf.h>

#include "base/clock.h"
#include "discover/proc.h"
#include "resolve/insn.h"
#include "sys.h"

#define CALLS 250
#define ROUNDS 3

/*
 * One function for each kind of instruction the kernel may emulate, the instruction first; the
 * last begins with a mov, which no kernel emulates: the yardstick.
 */
__asm__(".text\n"
	".p2align 4\nfeature_push: push %rbp\npop %rbp\nret\n"
	".p2align 4\nfeature_jmp: jmp 1f\n1: ret\n"
	".p2align 4\nfeature_jcc: jc 1f\n1: ret\n"
	".p2align 4\nfeature_call: call 1f\nret\n1: ret\n"
	".p2align 4\nfeature_nop1: nop\nret\n"
	".p2align 4\nfeature_nopl: .byte 0x0f,0x1f,0x44,0x00,0x00\nret\n"
	".p2align 4\nfeature_mov: mov %rdi,%rax\nret\n"
	".previous\n");

void feature_push(void);
void feature_jmp(void);
void feature_jcc(void);
void feature_call(void);
void feature_nop1(void);
void feature_nopl(void);
void feature_mov(void);

static const struct {
	void (*fn)(void);
	enum insn_emulation emu;
} snippets[] = {
	{ feature_push, EMU_PUSH }, { feature_jmp, EMU_JMP },   { feature_jcc, EMU_JCC },
	{ feature_call, EMU_CALL }, { feature_nop1, EMU_NOP1 }, { feature_nopl, EMU_NOPL },
	{ feature_mov, EMU_NONE },
};
#define N_SNIPPETS (sizeof(snippets) / sizeof(snippets[0]))

/* Emulated by every kernel that has uprobes on x86-64; long nops only by newer ones. */
#define EVERYWHERE (1u << EMU_PUSH | 1u << EMU_JMP | 1u << EMU_JCC | 1u << EMU_CALL | 1u << EMU_NOP1)

/* The best of a few rounds: anything that disturbs only adds. */
static double ns_per_call(void (*fn)(void))
{
	uint64_t best = UINT64_MAX;

	for (int r = 0; r < ROUNDS; r++) {
		uint64_t t0 = clock_ns(CLOCK_MONOTONIC), dt;

		for (int i = 0; i < CALLS; i++)
			fn();
		dt = clock_ns(CLOCK_MONOTONIC) - t0;
		best = dt < best ? dt : best;
	}
	return (double)best / CALLS;
}

/* File offsets of the snippets in our own executable. */
static int own_offsets(uint64_t *offsets)
{
	struct proc_maps maps = { 0 };
	int rc = proc_read_maps(getpid(), &maps);

	for (size_t i = 0; !rc && i < N_SNIPPETS; i++) {
		uint64_t at = (uint64_t)(uintptr_t)snippets[i].fn;
		const struct proc_map *m = proc_find_map(&maps, at);

		if (m)
			offsets[i] = at - m->start + m->offset;
		else
			rc = -ENOENT;
	}
	proc_maps_deinit(&maps);
	return rc;
}

static void measure(struct features *f)
{
	double ns[N_SNIPPETS], yardstick;

	for (size_t i = 0; i < N_SNIPPETS; i++)
		ns[i] = ns_per_call(snippets[i].fn);
	yardstick = ns[N_SNIPPETS - 1];
	f->stepped_ns = yardstick;
	for (size_t i = 0; i + 1 < N_SNIPPETS; i++)
		if (ns[i] < yardstick / 3)
			f->emulates |= 1u << snippets[i].emu;
	f->emulated_ns = ns[0];
}

const char *feature_way_name(enum feature_way way)
{
	static const char *const names[WAYS + 1] = { "uprobe_multi session", "uprobe_multi", "perf", "none" };

	return names[way];
}

enum feature_way feature_best_way(const struct features *f)
{
	enum feature_way way = 0;

	while (way < WAYS && f->ways[way].result == TRIAL_FAILED)
		way++;
	return way;
}

void feature_failed(struct trial *t, int rc, const char *fmt, ...)
{
	va_list ap;

	t->result = TRIAL_FAILED;
	t->err = -rc;
	va_start(ap, fmt);
	vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
}

int feature_own_place(uint64_t *offset)
{
	uint64_t offsets[N_SNIPPETS];
	int rc = own_offsets(offsets);

	if (!rc)
		*offset = offsets[N_SNIPPETS - 1];
	return rc;
}

/* All snippets at once; the link stays open on purpose, see feature.h. */
static void try_multi(struct features *f, const uint64_t *offsets)
{
	struct trial *t = &f->ways[WAY_MULTI];
	int prog = sys_load_empty(SYS_UPROBE_MULTI), link;

	if (prog < 0) {
		feature_failed(t, prog, "the kernel has no such programs (%s)", strerror(-prog));
		return;
	}
	link = sys_uprobe_multi(prog, SYS_UPROBE_MULTI, "/proc/self/exe", offsets, NULL, N_SNIPPETS,
				getpid(), false);
	close(prog);
	t->result = TRIAL_WORKS;
	if (link < 0)
		feature_failed(t, link, "the kernel has no such links (%s)", strerror(-link));
	else
		measure(f);
}

/* After the measurement, which its program would disturb. */
static void try_session(struct features *f, const uint64_t *offsets)
{
	const int calls[] = { f->kfuncs[LMT_KFUNC_SESSION_COOKIE], f->kfuncs[LMT_KFUNC_SESSION_IS_RETURN] };
	struct trial *t = &f->ways[WAY_SESSION];
	int prog, link;

	if (!calls[0] || !calls[1]) {
		feature_failed(t, -ENOSYS, "the kernel has no functions for it");
		return;
	}
	prog = sys_load_calls(calls, SYS_UPROBE_SESSION);
	if (prog < 0) {
		feature_failed(t, prog, "the kernel refuses calls of its functions (%s)", strerror(-prog));
		return;
	}
	link = sys_uprobe_multi(prog, SYS_UPROBE_SESSION, "/proc/self/exe", &offsets[N_SNIPPETS - 1], NULL, 1,
				getpid(), false);
	close(prog);
	t->result = TRIAL_WORKS;
	if (link < 0)
		feature_failed(t, link, "the kernel has no such links (%s)", strerror(-link));
}

/* Why a perf event with a uprobe, or the link of a program to it, is refused. */
static void explain_perf(struct trial *t, int rc)
{
	if (rc == -EACCES || rc == -EPERM) /* up to 6.6 it asks for more than CAP_PERFMON */
		feature_failed(t, -EPERM, "not permitted: this kernel wants CAP_SYS_ADMIN for them");
	else if (rc == -EINVAL)
		feature_failed(t, rc, "the kernel gives no BPF cookies to probes: needs Linux 5.15 or later");
	else if (rc == -EOPNOTSUPP)
		feature_failed(t, rc, "the kernel has no uprobes: needs CONFIG_UPROBE_EVENTS");
	else
		feature_failed(t, rc, "%s", strerror(-rc));
}

static void try_perf(struct features *f, const uint64_t *offsets)
{
	bool measured = f->stepped_ns > 0;
	int prog = sys_load_empty(0), link = -EPERM;

	if (prog < 0) {
		feature_failed(&f->ways[WAY_PERF], prog, "%s", strerror(-prog));
		return;
	}
	for (size_t i = 0; i < N_SNIPPETS; i++) {
		link = sys_uprobe_perf(prog, "/proc/self/exe", offsets[i], 0, getpid(), false);
		if (link < 0 || measured)
			break;
	}
	close(prog);
	f->ways[WAY_PERF].result = TRIAL_WORKS;
	if (link < 0)
		explain_perf(&f->ways[WAY_PERF], link);
	else if (!measured)
		measure(f);
}

static void find_kfuncs(struct features *f)
{
	static const char *const names[LMT_KFUNCS] = {
		[LMT_KFUNC_SESSION_IS_RETURN] = "bpf_session_is_return",
		[LMT_KFUNC_SESSION_COOKIE] = "bpf_session_cookie",
	};
	struct btf *btf = btf__load_vmlinux_btf();

	for (size_t i = 0; btf && i < LMT_KFUNCS; i++) {
		int id = btf__find_by_name_kind(btf, names[i], BTF_KIND_FUNC);

		f->kfuncs[i] = id > 0 ? id : 0;
	}
	btf__free(btf);
}

static void try_load(struct features *f)
{
	int prog = sys_load_empty(0);

	f->load.result = TRIAL_WORKS;
	if (prog >= 0)
		close(prog);
	else
		feature_failed(&f->load, prog == -EACCES ? -EPERM : prog, "%s", strerror(-prog));
}

/* only: as LUAMEMTRACE_ATTACH names the ways. */
static void rule_out(struct features *f, const char *only)
{
	static const char *const names[WAYS] = { "session", "multi", "perf" };
	bool known = false;

	for (size_t i = 0; i < WAYS; i++)
		known = known || (only && !strcmp(only, names[i]));
	for (size_t i = 0; known && i < WAYS; i++)
		if (strcmp(only, names[i]))
			feature_failed(&f->ways[i], -ECANCELED, "ruled out by LUAMEMTRACE_ATTACH");
}

static void try_ways(struct features *f, enum feature_effort effort, const uint64_t *offsets)
{
	if (f->ways[WAY_MULTI].result == TRIAL_NONE || f->ways[WAY_SESSION].result == TRIAL_NONE) {
		struct trial ruled_out = f->ways[WAY_MULTI];

		try_multi(f, offsets);
		if (ruled_out.result == TRIAL_FAILED)
			f->ways[WAY_MULTI] = ruled_out;
	}
	if (f->ways[WAY_SESSION].result == TRIAL_NONE)
		try_session(f, offsets);
	if (f->ways[WAY_PERF].result == TRIAL_NONE && (effort == FEATURE_ALL || feature_best_way(f) == WAY_PERF))
		try_perf(f, offsets);
}

void feature_probe(struct features *f, enum feature_effort effort, const char *only)
{
	uint64_t offsets[N_SNIPPETS];

	*f = (struct features){ .btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0 };
	rule_out(f, only);
	try_load(f);
	if (f->load.result == TRIAL_WORKS && !own_offsets(offsets)) {
		find_kfuncs(f);
		try_ways(f, effort, offsets);
	}
	if (!f->emulates && f->stepped_ns <= 0) {
		f->emulates = EVERYWHERE;
		f->by_table = true;
	}
}

/* Why no way works: told of the last one that was tried, which asks the least of a kernel. */
static int no_way(const struct features *f, struct errmsg *err)
{
	const struct trial *t = NULL;
	enum feature_way last = WAY_PERF;

	for (enum feature_way way = 0; way < WAYS; way++)
		if (f->ways[way].err && f->ways[way].err != ECANCELED) {
			t = &f->ways[way];
			last = way;
		}
	if (t && t->err == EPERM)
		return errmsg_set(err, -EPERM, "no way to place probes (%s): %s; run as root",
				  feature_way_name(last), t->why);
	return errmsg_set(err, -EOPNOTSUPP, "no way to place probes (%s): %s; see 'luamemtrace doctor'",
			  feature_way_name(last), t ? t->why : "none was tried");
}

int feature_check(const struct features *f, struct errmsg *err)
{
	if (!proc_pids_are_global())
		return errmsg_set(err, -EOPNOTSUPP,
				  "this is a container with process numbers of its own, which mean "
				  "nothing to the kernel's probes; run on the host, or in a container "
				  "with --pid=host");
	if (f->load.result == TRIAL_FAILED && f->load.err == EPERM)
		return errmsg_set(err, -EPERM,
				  "no permission to load BPF programs; run as root, or with CAP_BPF, "
				  "CAP_PERFMON and CAP_SYS_PTRACE");
	if (f->load.result == TRIAL_FAILED)
		return errmsg_set(err, -EOPNOTSUPP,
				  "the kernel refuses BPF programs (%s); see 'luamemtrace doctor'",
				  f->load.why);
	if (!f->btf)
		return errmsg_set(err, -EOPNOTSUPP,
				  "the kernel has no BTF (/sys/kernel/btf/vmlinux); use a kernel built "
				  "with CONFIG_DEBUG_INFO_BTF");
	return feature_best_way(f) == WAYS ? no_way(f, err) : 0;
}
