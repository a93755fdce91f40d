/* SPDX-License-Identifier: MIT */
#include "prepare.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/cleanup.h"

/* Sections of our programs whose calls may need a change. */
static const char *const sections[] = { "uprobe", "uretprobe" };
#define N_SECTIONS (sizeof(sections) / sizeof(sections[0]))

/* Of the process, as libbpf's handlers are, which must stay: 1.1 breaks when the last one goes. */
static int ids[LMT_KFUNCS];
static bool registered;

/*
 * Under lockdown=confidentiality libbpf's own trial of bpf_probe_read_user() is refused for another
 * helper in it, so it takes the kernel for an old one and puts bpf_probe_read() everywhere: that
 * is the one that lockdown refuses. (bpf_object__sanitize_prog() and probe_kern_probe_read_kernel()
 * of libbpf 1.1 and 1.5.) Ours never mean the old one, and no kernel we run on lacks the new one.
 */
static void undo_old_helper(struct bpf_insn *insn)
{
	if (insn->imm == BPF_FUNC_probe_read)
		insn->imm = BPF_FUNC_probe_read_user;
	else if (insn->imm == BPF_FUNC_probe_read_str)
		insn->imm = BPF_FUNC_probe_read_user_str;
}

static void call_kernel(struct bpf_insn *insn)
{
	uint32_t which = (uint32_t)insn->imm - LMT_KFUNC_BASE;

	if (which < LMT_KFUNCS && ids[which] > 0)
		*insn = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL,
					   .imm = ids[which] };
}

static int change_calls(struct bpf_program *prog, struct bpf_prog_load_opts *opts, long cookie)
{
	size_t n = bpf_program__insn_cnt(prog);
	auto_free struct bpf_insn *insns = malloc(n * sizeof(*insns));

	(void)opts;
	(void)cookie;
	if (!insns)
		return -ENOMEM;
	memcpy(insns, bpf_program__insns(prog), n * sizeof(*insns));
	for (size_t i = 0; i < n; i++) {
		if (insns[i].code != (BPF_JMP | BPF_CALL) || insns[i].src_reg)
			continue;
		undo_old_helper(&insns[i]);
		call_kernel(&insns[i]);
	}
	return bpf_program__set_insns(prog, insns, n);
}

int prepare_programs(const int kfuncs[LMT_KFUNCS])
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_prepare_load_fn = change_calls);

	memcpy(ids, kfuncs, sizeof(ids));
	for (size_t i = 0; !registered && i < N_SECTIONS; i++) {
		int rc = libbpf_register_prog_handler(sections[i], BPF_PROG_TYPE_KPROBE, 0, &opts);

		if (rc < 0)
			return rc;
	}
	registered = true;
	return 0;
}
