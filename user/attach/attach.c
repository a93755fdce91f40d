/* SPDX-License-Identifier: MIT */
#include "attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "attach_impl.h"
#include "base/log.h"

void attach_forget_file(struct attach *a, const struct file *file)
{
	attach_take_off(a, 0, file);
}

static void destroy_link(struct bpf_link **link)
{
	bpf_link__destroy(*link);
	*link = NULL;
}

void attach_detach(struct attach *a)
{
	vec_each(l, &a->links)
		close(l->fd);
	vec_deinit(&a->links);
	if (a->skel) {
		destroy_link(&a->skel->links.on_exec);
		destroy_link(&a->skel->links.on_fork);
		destroy_link(&a->skel->links.on_exit);
	}
}

void attach_free(struct attach *a)
{
	if (!a)
		return;
	if (a->skel && a->skel->bss)
		attach_set_active(a, false);
	attach_detach(a);
	skel__destroy(a->skel);
	if (a->callsites)
		munmap(a->callsites, LMT_CALLSITES * sizeof(*a->callsites));
	vec_deinit(&a->layouts);
	vec_deinit(&a->probed);
	vec_each(b, &a->alloc_batches)
		free(*b);
	vec_deinit(&a->alloc_batches);
	vec_deinit(&a->free_rows);
	free(a);
}

void attach_set_active(struct attach *a, bool on)
{
	a->skel->bss->active = on;
}

unsigned int attach_probe_count(const struct attach *a)
{
	return a->n_probes;
}

const char *attach_method(const struct attach *a)
{
	return feature_way_name(a->way);
}

enum feature_way attach_way(const struct attach *a)
{
	return a->way;
}

const struct attach_maps *attach_maps(const struct attach *a)
{
	return &a->maps;
}

/* Claims an entry of states, as BPF does for states that are born; 0 when all are taken. */
static uint32_t claim_state(struct attach *a, const struct lmt_state *st)
{
	uint32_t i;

	if (bpf_map_lookup_and_delete_elem(bpf_map__fd(a->skel->maps.free_states), NULL, &i))
		i = __atomic_fetch_add(&a->skel->bss->next_state, 1, __ATOMIC_RELAXED);
	if (i >= a->maps.n_states || bpf_map_update_elem(a->maps.states, &i, st, BPF_ANY))
		return 0;
	return i;
}

/* Slots are used in turn, so that a stale key of an earlier process meets no new one soon. */
static int free_slot(struct attach *a)
{
	for (int n = 1; n < LMT_SLOT_MAX; n++) {
		int slot = a->next_slot;

		a->next_slot = slot + 1 < LMT_SLOT_MAX ? slot + 1 : 1;
		if (!a->pids[slot])
			return slot;
	}
	return -E2BIG;
}

int attach_add_process(struct attach *a, pid_t pid, struct errmsg *err)
{
	struct lmt_state st = { .flags = LMT_STATE_USED | LMT_STATE_PROCESS };
	struct lmt_proc proc = { .tgid = (uint32_t)pid };
	int slot = free_slot(a);
	uint32_t key = (uint32_t)slot;

	if (slot < 0)
		return errmsg_set(err, slot, "more than %d processes at once", LMT_SLOT_MAX - 1);
	st.slot = key;
	proc.state = claim_state(a, &st);
	if (!proc.state || bpf_map_update_elem(bpf_map__fd(a->skel->maps.procs), &key, &proc, BPF_ANY))
		return errmsg_set(err, -ENOMEM, "cannot enter process %d: %s", pid, strerror(errno));
	a->pids[slot] = pid;
	a->process_state[slot] = proc.state;
	return slot;
}

int attach_publish(struct attach *a, int slot, pid_t pid, struct errmsg *err)
{
	uint32_t tgid = (uint32_t)pid, value = (uint32_t)slot;

	if (++a->n_slots == 1 && !a->system_wide) {
		a->skel->bss->only_slot = value;
		a->skel->bss->only_tgid = tgid;
	} else {
		a->skel->bss->only_tgid = 0;
	}
	if (bpf_map_update_elem(bpf_map__fd(a->skel->maps.slots), &tgid, &value, BPF_ANY))
		return errmsg_set(err, -ENOMEM, "cannot enter process %d: %s", pid, strerror(errno));
	return 0;
}

static void forget_callsites(struct attach *a, int slot)
{
	for (uint32_t i = 0; i < LMT_CALLSITES; i++)
		if (LMT_KEY_SLOT(a->callsites[i].key) == (uint32_t)slot)
			memset(&a->callsites[i], 0, sizeof(a->callsites[i]));
}

/* Another process may have another allocator at the same address. */
static void forget_allocators(struct attach *a, int slot)
{
	int fd = bpf_map__fd(a->skel->maps.known_allocators);
	uint64_t key, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (LMT_KEY_SLOT(key) == (uint32_t)slot)
			bpf_map_delete_elem(fd, &key);
	}
}

void attach_retire(struct attach *a, int slot, pid_t pid, const struct plan *p)
{
	uint32_t tgid = (uint32_t)pid, now, key32 = (uint32_t)slot;
	int slots = bpf_map__fd(a->skel->maps.slots);

	if (!bpf_map_lookup_elem(slots, &tgid, &now) && now == (uint32_t)slot)
		bpf_map_delete_elem(slots, &tgid);
	if (a->skel->bss->only_slot == (uint32_t)slot)
		a->skel->bss->only_tgid = 0;
	attach_take_off(a, slot, NULL);
	forget_callsites(a, slot);
	forget_allocators(a, slot);
	bpf_map_delete_elem(bpf_map__fd(a->skel->maps.ranges), &key32);
	for (size_t i = 0; p && i < p->unwind.n; i++) {
		uint64_t key = LMT_KEY(slot, p->unwind.v[i].uaddr);

		bpf_map_delete_elem(bpf_map__fd(a->skel->maps.unwind), &key);
	}
	a->pids[slot] = 0;
}

void attach_recycle_state(struct attach *a, uint32_t index)
{
	struct lmt_state empty = { 0 };

	if (!bpf_map_update_elem(a->maps.states, &index, &empty, BPF_ANY))
		bpf_map_update_elem(bpf_map__fd(a->skel->maps.free_states), NULL, &index, BPF_ANY);
}

int attach_follow(struct attach *a, pid_t pid, uint32_t flags)
{
	uint32_t tgid = (uint32_t)pid;
	int fd = bpf_map__fd(a->skel->maps.followed_pids);

	if (flags)
		return bpf_map_update_elem(fd, &tgid, &flags, BPF_ANY) ? -errno : 0;
	bpf_map_delete_elem(fd, &tgid);
	return 0;
}

int attach_followed_map(const struct attach *a)
{
	return bpf_map__fd(a->skel->maps.followed_pids);
}

size_t attach_take_followed(int map, pid_t *pids, size_t max)
{
	uint32_t tgid;
	size_t n = 0;

	while (n < max && !bpf_map_get_next_key(map, NULL, &tgid)) {
		if (bpf_map_delete_elem(map, &tgid))
			break;
		pids[n++] = (pid_t)tgid;
	}
	return n;
}

void attach_know_allocator(struct attach *a, int slot, uint64_t uaddr)
{
	uint64_t key = LMT_KEY(slot, uaddr);
	uint32_t yes = 1;

	bpf_map_update_elem(bpf_map__fd(a->skel->maps.known_allocators), &key, &yes, BPF_ANY);
}

void attach_know_program(struct attach *a, uint64_t dev, uint64_t inode)
{
	struct lmt_program program = { inode, (uint64_t)major(dev) << 20 | minor(dev) };
	uint32_t yes = 1;

	bpf_map_update_elem(bpf_map__fd(a->skel->maps.lua_programs), &program, &yes, BPF_ANY);
}

uint32_t attach_process_state(const struct attach *a, int slot)
{
	return a->process_state[slot];
}

uint32_t attach_layout_index(struct attach *a, const struct layout *l)
{
	uint32_t i;

	if (!l)
		return 0;
	for (i = 0; i < a->layouts.n; i++)
		if (a->layouts.v[i] == l)
			return i + 1;
	i = (uint32_t)a->layouts.n + 1;
	if (i >= LMT_MAX_LAYOUTS || vec_push(&a->layouts, l) ||
	    bpf_map_update_elem(bpf_map__fd(a->skel->maps.layouts), &i, &l->l, BPF_ANY)) {
		log_warn("no room for layout %s: its states are counted as one", l->id);
		return 0;
	}
	return i;
}

const struct layout *attach_layout(const struct attach *a, uint32_t index)
{
	return index && index <= a->layouts.n ? a->layouts.v[index - 1] : NULL;
}

static int add_owner(struct attach *a, int slot, uint64_t uaddr, uint32_t state)
{
	uint64_t key = LMT_KEY(slot, uaddr);

	if (!uaddr)
		return 0;
	return bpf_map_update_elem(a->maps.owners, &key, &state, BPF_ANY) ? -errno : 0;
}

uint32_t attach_find_state(const struct attach *a, int slot, uint64_t G)
{
	uint64_t key = LMT_KEY(slot, G);
	uint32_t state;

	return bpf_map_lookup_elem(a->maps.owners, &key, &state) ? 0 : state;
}

int attach_add_state(struct attach *a, int slot, const struct resolved_state *rs, bool ud_tells,
		     bool arena)
{
	struct lmt_state st = {
		.g = rs->G,
		.main = rs->L,
		.ud = rs->gc.ud,
		.slot = (uint32_t)slot,
		.runtime = rs->runtime,
		.flags = LMT_STATE_USED | (arena ? LMT_STATE_ARENA : 0u),
	};
	uint32_t i;

	st.layout = attach_layout_index(a, rs->layout);
	if (!st.layout)
		return -ENOENT;
	st.block = rs->L - (uint64_t)rs->layout->l.block_L.off;
	i = claim_state(a, &st);
	if (!i)
		return -E2BIG;
	if (add_owner(a, slot, st.g, i) || add_owner(a, slot, st.block, i) ||
	    (ud_tells && add_owner(a, slot, st.ud, i)))
		return -E2BIG;
	return (int)i;
}

int attach_set_ranges(struct attach *a, int slot, const struct lmt_ranges *ranges)
{
	uint32_t key = (uint32_t)slot;

	return bpf_map_update_elem(bpf_map__fd(a->skel->maps.ranges), &key, ranges, BPF_ANY) ? -errno : 0;
}

void attach_check_chunks(struct attach *a)
{
	int fd = bpf_map__fd(a->skel->maps.probes);

	for (uint32_t i = 1; i <= a->n_probes && !(a->without & 1); i++) {
		struct lmt_probe probe;

		if (bpf_map_lookup_elem(fd, &i, &probe) || !(probe.flags & LMT_PROBE_ARENA))
			continue;
		probe.flags |= LMT_PROBE_CHECK_CHUNK;
		bpf_map_update_elem(fd, &i, &probe, BPF_ANY);
	}
}
