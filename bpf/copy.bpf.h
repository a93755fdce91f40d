/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * copy: takes along what the line of a place is told by. A target that is about to crash, or a state
 * that is closed at once, is gone before user space can read it. For few places only. BPF only.
 */
#ifndef LMT_COPY_BPF_H
#define LMT_COPY_BPF_H

#include "find.h"
#include "read.bpf.h"

#define ABS_EVERY 128 /* instructions, at most, between absolute lines; 5.4+ (MAXIWTHABS) */
#define DELTAS_BACK 256

/* Copies a part, a shorter one if the page behind it is not there. */
#define COPY_PART(m, i, from, room)                                                             \
	do {                                                                                    \
		(m)->part[i].uaddr = (from);                                                    \
		(m)->part[i].len = room;                                                        \
		if (!bpf_probe_read_user((m)->data##i, room, (const void *)(from)))             \
			break;                                                                  \
		(m)->part[i].len = 64;                                                          \
		if (bpf_probe_read_user((m)->data##i, 64, (const void *)(from)))                \
			(m)->part[i].len = 0;                                                   \
	} while (0)

static __always_inline __u64 copy_ref(__u64 base, struct lmt_cell c)
{
	__u64 v = 0;

	if (c.off != LMT_OFF_NONE)
		bpf_probe_read_user(&v, c.size == 4 ? 4 : 8, (const void *)(base + (__u32)c.off));
	return v;
}

/* PUC: where the line of the instruction is noted, and from 5.4 on the absolute lines before it. */
static __always_inline void copy_puc_lines(struct lmt_memory *m, const struct lmt_layout *lay,
					   __u64 proto, __u64 pc)
{
	__u64 at = (pc - copy_ref(proto, lay->P_code)) / 4, info = copy_ref(proto, lay->P_lineinfo);

	if (lay->P_abslineinfo.off == LMT_OFF_NONE) {
		COPY_PART(m, 2, info + 4 * at - 8, 64);
		return;
	}
	at = at > DELTAS_BACK ? at - DELTAS_BACK : 0;
	COPY_PART(m, 2, info + at, 512);
	COPY_PART(m, 3, copy_ref(proto, lay->P_abslineinfo), 1024);
}

static __always_inline void copy_luajit_lines(struct lmt_memory *m, const struct lmt_layout *lay,
					      __u64 proto, __u64 pc)
{
	__u64 at = (pc - proto - lay->hot.size_proto) / 4, lines = copy_ref(proto, lay->P_numline);
	__u32 width = lines < 256 ? 1 : lines < 65536 ? 2 : 4;

	COPY_PART(m, 2, copy_ref(proto, lay->P_lineinfo) + width * at - 8, 64);
}

/* Sends copies of the prototype, its chunk name and its lines ahead of the site's event. */
SUBPROG int copy_place(const struct lmt_layout *lay, __u32 slot, __u32 site, __u64 proto, __u64 pc)
{
	struct lmt_memory *m;

	if (!lay || !proto)
		return 0;
	m = bpf_ringbuf_reserve(&ring, sizeof(*m), 0);
	if (!m)
		return 0; /* a line less, if it comes to that */
	__builtin_memset(m, 0, sizeof(m->e) + sizeof(m->part));
	m->e.kind = LMT_EV_MEMORY;
	m->e.slot = slot;
	m->e.arg0 = site;
	COPY_PART(m, 0, proto, 128);
	COPY_PART(m, 1, copy_ref(proto, lay->P_source), 256);
	if (pc && lay->hot.family == LMT_FAMILY_PUC)
		copy_puc_lines(m, lay, proto, pc);
	else if (pc)
		copy_luajit_lines(m, lay, proto, pc);
	bpf_ringbuf_submit(m, 0);
	return 0;
}

#endif
