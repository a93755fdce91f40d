/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * label: what a state is used for, read when it is closed: user space would come too late for those that
 * live only for milliseconds. skynet's way: a global has the service's name, the allocator's argument
 * leads to its handle (see census/label.c). For programs that have it (LMT_PROBE_LABEL). BPF only.
 */
#ifndef LMT_LABEL_BPF_H
#define LMT_LABEL_BPF_H

#include "emit.bpf.h"
#include "find.h"
#include "read.bpf.h"

#define GLOBALS_SEARCHED 256 /* nodes */
#define GLOBAL_NAME "SERVICE_NAME"
#define GLOBAL_BYTES (sizeof(GLOBAL_NAME) - 1)
#define TYPE_STRING 4 /* low bits of a tag */
#define TYPE_BITS 15

/* A TValue in a node's value, and its key: those of 5.4 and later are packed. */
#define PACKED_NODE 24
#define NODE_KEY 16
#define NODE_KEY_TAG(size) ((size) == PACKED_NODE ? 9 : 24)

static __always_inline __u64 user_word(__u64 uaddr)
{
	__u64 v = 0;

	bpf_probe_read_user(&v, 8, (const void *)uaddr);
	return v;
}

static __always_inline __u64 string_text(const struct lmt_layout *lay, __u64 str)
{
	return str + (__u32)(lay->S_contents.off == LMT_OFF_NONE ? lay->size_str.off : lay->S_contents.off);
}

/* Length of a short string, or of any where they have no length of their own. */
static __always_inline __u64 string_length(const struct lmt_layout *lay, __u64 str)
{
	__u8 len = 0;

	if (lay->S_shrlen.off == LMT_OFF_NONE)
		return user_word(str + (__u32)lay->S_len.off);
	bpf_probe_read_user(&len, 1, (const void *)(str + (__u32)lay->S_shrlen.off));
	return len;
}

/* Is that the node of the global? */
SUBPROG int is_name_node(const struct lmt_layout *lay, __u64 node)
{
	char text[GLOBAL_BYTES], differs = 0;
	__u8 tag = 0;
	__u64 key;

	if (!lay || bpf_probe_read_user(&tag, 1, (const void *)(node + NODE_KEY_TAG(lay->size_node.off))) ||
	    (tag & TYPE_BITS) != TYPE_STRING)
		return 0;
	key = user_word(node + NODE_KEY);
	if (string_length(lay, key) != GLOBAL_BYTES ||
	    bpf_probe_read_user(text, sizeof(text), (const void *)string_text(lay, key)))
		return 0;
#pragma unroll
	for (__u32 i = 0; i < GLOBAL_BYTES; i++)
		differs |= text[i] ^ GLOBAL_NAME[i];
	return !differs;
}

/* The globals table: registry[2]. In 5.5 values lie below the array's address, backwards. */
static __always_inline __u64 globals_table(const struct lmt_layout *lay, __u64 g)
{
	__u64 registry = user_word(g + (__u32)lay->G_registry.off), array;

	array = user_word(registry + (__u32)lay->T_array.off);
	return user_word(lay->version >= 505 ? array - 16 : array + 16);
}

/* The string that the global holds, or 0. */
SUBPROG __u64 service_name(const struct lmt_layout *lay, __u64 g)
{
	__u64 table, node;
	__u8 log = 0, tag = 0;
	__u32 n;

	if (!lay || lay->family != LMT_FAMILY_PUC || lay->version < 502)
		return 0;
	table = globals_table(lay, g);
	node = user_word(table + (__u32)lay->T_node.off);
	if (bpf_probe_read_user(&log, 1, (const void *)(table + (__u32)lay->T_lsizenode.off)) || log > 8)
		return 0;
	n = 1u << log;
	for (__u32 i = 0; i < GLOBALS_SEARCHED && i < n; i++, node += (__u32)lay->size_node.off) {
		if (!is_name_node(lay, node))
			continue;
		bpf_probe_read_user(&tag, 1, (const void *)(node + 8));
		return (tag & TYPE_BITS) == TYPE_STRING ? user_word(node) : 0;
	}
	return 0;
}

/* As skynet_handle() of census/label.c. */
static __always_inline __u32 service_handle(__u64 ud)
{
	__u64 ctx = user_word(ud + 8);
	__u32 handle = 0, again = 0;

	if (user_word(ctx) != ud)
		return 0;
	bpf_probe_read_user(&handle, 4, (const void *)(ctx + 96));
	bpf_probe_read_user(&again, 4, (const void *)(user_word(ctx + 32) + 4));
	return handle == again ? handle : 0;
}

SUBPROG int send_label(const struct lmt_layout *lay, __u32 slot, __u32 state, __u64 g)
{
	__u64 str = lay ? service_name(lay, g) : 0, len;
	struct lmt_label *e;

	if (!lay || !str)
		return 0;
	len = string_length(lay, str);
	e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	if (!e)
		return 0;
	event_begin(&e->e, LMT_EV_LABEL, slot, state);
	e->e.arg0 = service_handle(user_word(g + (__u32)lay->G_ud.off));
	__builtin_memset(e->text, 0, sizeof(e->text));
	if (len > sizeof(e->text))
		len = sizeof(e->text);
	bpf_probe_read_user(e->text, len, (const void *)string_text(lay, str));
	bpf_ringbuf_submit(e, 0);
	return 1;
}

#endif
