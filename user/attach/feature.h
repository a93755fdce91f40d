/* SPDX-License-Identifier: MIT */
/*
 * feature: what this kernel can do, found by trying on our own code; never by its version.
 * L3 attach.
 */
#ifndef LMT_ATTACH_FEATURE_H
#define LMT_ATTACH_FEATURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "kfunc.h"

/* Ways to place probes, the most capable first: the order in which they are tried. */
enum feature_way {
	WAY_SESSION, /* uprobe_multi links whose program sees entry and return, with a cookie */
	WAY_MULTI,   /* uprobe_multi links */
	WAY_PERF,    /* perf-event uprobes, a link each */
	WAYS
};

enum trial_result { TRIAL_NONE, TRIAL_WORKS, TRIAL_FAILED };

struct trial {
	enum trial_result result;
	int err;        /* of a failure: EPERM when the user lacks something, else any errno */
	char why[200];  /* of a failure: one line */
	char said[400]; /* the verifier's last words, where it refused our programs */
};

struct features {
	bool btf; /* /sys/kernel/btf/vmlinux: needed by the programs */
	struct trial load; /* any BPF program */
	struct trial ways[WAYS];
	int kfuncs[LMT_KFUNCS]; /* BTF ids of functions of the kernel that may be called; 0 none */
	unsigned int emulates;   /* bit set of enum insn_emulation */
	bool by_table;           /* not tried, for want of privilege: what all kernels emulate */
	double emulated_ns, stepped_ns; /* a hit with an empty program; 0 not measured */
};

enum feature_effort {
	FEATURE_NEEDED, /* stop at the first way to place probes that works */
	FEATURE_ALL,    /* try every way, for doctor */
};

/*
 * Tries with programs of a few instructions; whether ours pass is for attach_new() to find out.
 * only: NULL, or the name of the one way that may be taken, to test those of older kernels.
 *
 * Leaves a few probes on our own code until the process ends, since taking one off costs 50 ms
 * and keeping it costs nothing.
 */
void feature_probe(struct features *f, enum feature_effort effort, const char *only);

/* "uprobe_multi session", "uprobe_multi", "perf". */
const char *feature_way_name(enum feature_way way);

/* The most capable way that works, or that was not tried and none before it works; WAYS: none. */
enum feature_way feature_best_way(const struct features *f);

/* Notes that a trial failed, with a negative errno and the reason. */
void feature_failed(struct trial *t, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A place in our own code for trials, as an offset in /proc/self/exe. 0 or a negative errno. */
int feature_own_place(uint64_t *offset);

/* 0 if tracing can work, else -EPERM or -EOPNOTSUPP with what to do about it. */
int feature_check(const struct features *f, struct errmsg *err);

#endif
