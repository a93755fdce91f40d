/* SPDX-License-Identifier: MIT */
#include "feature.h"

#include <errno.h>
#include <inttypes.h>
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

/* All snippets at once; the link stays open on purpose, see feature.h. */
static void try_multi(struct features *f, const uint64_t *offsets)
{
	int prog = sys_load_empty(SYS_UPROBE_MULTI), link;

	if (prog < 0) {
		f->multi_errno = -prog;
		return;
	}
	link = sys_uprobe_multi(prog, SYS_UPROBE_MULTI, "/proc/self/exe", offsets, NULL, N_SNIPPETS,
				getpid(), false);
	close(prog);
	f->multi = link >= 0;
	f->multi_errno = link < 0 ? -link : 0;
	if (f->multi)
		measure(f);
}

static void try_perf(struct features *f, const uint64_t *offsets)
{
	int prog = sys_load_empty(0), link = -1;

	f->load = prog >= 0;
	f->load_errno = f->perf_errno = prog < 0 ? -prog : 0;
	if (prog < 0)
		return;
	for (size_t i = 0; i < N_SNIPPETS; i++) {
		link = sys_uprobe_perf(prog, "/proc/self/exe", offsets[i], 0, getpid(), false);
		if (link < 0 || f->multi)
			break;
	}
	close(prog);
	f->perf = link >= 0;
	f->perf_errno = link < 0 ? -link : 0;
	if (f->perf && f->multi)
		close(link);
	else if (f->perf)
		measure(f);
}

/* Session programs need the attach type and two kernel functions. */
static bool has_session(int kfuncs[LMT_KFUNCS])
{
	struct btf *btf = btf__load_vmlinux_btf();
	int prog;

	if (!btf)
		return false;
	kfuncs[LMT_KFUNC_SESSION_COOKIE] = btf__find_by_name_kind(btf, "bpf_session_cookie", BTF_KIND_FUNC);
	kfuncs[LMT_KFUNC_SESSION_IS_RETURN] =
		btf__find_by_name_kind(btf, "bpf_session_is_return", BTF_KIND_FUNC);
	btf__free(btf);
	if (kfuncs[LMT_KFUNC_SESSION_COOKIE] <= 0 || kfuncs[LMT_KFUNC_SESSION_IS_RETURN] <= 0)
		return false;
	prog = sys_load_empty(SYS_UPROBE_SESSION);
	if (prog >= 0)
		close(prog);
	return prog >= 0;
}

void feature_probe(struct features *f, enum feature_effort effort)
{
	uint64_t offsets[N_SNIPPETS];

	*f = (struct features){ .btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0 };
	if (own_offsets(offsets))
		return;
	if (effort != FEATURE_NO_MULTI)
		try_multi(f, offsets);
	if (!f->multi || effort == FEATURE_ALL)
		try_perf(f, offsets);
	else
		f->load = true;
	f->session = f->multi && has_session(f->kfuncs);
	if (!f->emulates && !f->multi && !f->perf) {
		f->emulates = EVERYWHERE;
		f->by_table = true;
	}
}

int feature_check(const struct features *f, struct errmsg *err)
{
	if (!proc_pids_are_global())
		return errmsg_set(err, -EOPNOTSUPP,
				  "this is a container with process numbers of its own, which mean "
				  "nothing to the kernel's probes; run on the host, or in a container "
				  "with --pid=host");
	if (!f->load && (f->load_errno == EPERM || f->load_errno == EACCES))
		return errmsg_set(err, -EPERM,
				  "no permission to load BPF programs; run as root, or with CAP_BPF, "
				  "CAP_PERFMON and CAP_SYS_PTRACE");
	if (!f->load)
		return errmsg_set(err, -EOPNOTSUPP,
				  "the kernel refuses BPF programs (%s); see 'luamemtrace doctor'",
				  strerror(f->load_errno));
	if (!f->btf)
		return errmsg_set(err, -EOPNOTSUPP,
				  "the kernel has no BTF (/sys/kernel/btf/vmlinux); use a kernel built "
				  "with CONFIG_DEBUG_INFO_BTF");
	if (!f->multi && !f->perf && (f->perf_errno == EACCES || f->perf_errno == EPERM))
		return errmsg_set(err, -EPERM,
				  "no permission to place uprobes; run as root or with CAP_SYS_ADMIN");
	if (!f->multi && !f->perf)
		return errmsg_set(err, -EOPNOTSUPP,
				  "the kernel has no uprobes (%s); use one built with CONFIG_UPROBE_EVENTS",
				  strerror(f->perf_errno));
	return 0;
}
