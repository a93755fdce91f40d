/* SPDX-License-Identifier: MIT */
/*
 * feature: what this kernel can do, found by trying on our own code; never by its version.
 * L3 attach.
 */
#ifndef LMT_ATTACH_FEATURE_H
#define LMT_ATTACH_FEATURE_H

#include <stdbool.h>

#include "base/err.h"
#include "kfunc.h"

struct features {
	bool btf;          /* /sys/kernel/btf/vmlinux: needed by the programs */
	bool load;         /* a BPF program can be loaded */
	bool multi;        /* uprobe_multi links */
	bool session;      /* …whose program sees entry and return with a cookie */
	int kfuncs[LMT_KFUNCS]; /* BTF ids of the kernel's functions for that; 0: it has none */
	bool perf;         /* perf-event uprobes */
	int load_errno, multi_errno, perf_errno;
	unsigned int emulates;   /* bit set of enum insn_emulation */
	bool by_table;           /* not tried, for want of privilege: what all kernels emulate */
	double emulated_ns, stepped_ns; /* a hit with an empty program; 0 not measured */
};

enum feature_effort {
	FEATURE_NEEDED,   /* stop at the first way to place probes that works */
	FEATURE_ALL,      /* try every way, for doctor */
	FEATURE_NO_MULTI, /* pretend that uprobe_multi is missing, to test the fallback */
};

/*
 * Leaves one probe on our own code until the process ends, since taking it off costs 50 ms and
 * keeping it costs nothing.
 */
void feature_probe(struct features *f, enum feature_effort effort);

/* 0 if tracing can work, else -EPERM or -EOPNOTSUPP with what to do about it. */
int feature_check(const struct features *f, struct errmsg *err);

#endif
