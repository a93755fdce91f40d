/* SPDX-License-Identifier: MIT */
#include "attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "attach_impl.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "prepare.h"
#include "sys.h"

/* What the verifier said of the program that it refused: the end of its log. */
static char last_words[sizeof(((struct trial *)0)->said)];

#define LOG_BEGINS "-- BEGIN PROG LOAD LOG --\n"
#define LOG_ENDS "processed "
#define LAST_LINES 3

static void keep_last_words(const char *text)
{
	const char *log = strstr(text, LOG_BEGINS), *end, *start;
	int lines = 0;

	if (!log)
		return;
	log += strlen(LOG_BEGINS);
	end = log + strlen(log);
	for (const char *at = strstr(log, LOG_ENDS); at; at = strstr(at + 1, LOG_ENDS))
		end = at; /* its statistics come last */
	for (start = end; start > log; start--)
		if (start[-1] == '\n' && start != end && ++lines == LAST_LINES)
			break;
	snprintf(last_words, sizeof(last_words), "%.*s", (int)(end - start), start);
}

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	auto_free char *text = NULL;
	va_list again;

	(void)level;
	va_copy(again, ap);
	if (vasprintf(&text, fmt, again) >= 0)
		keep_last_words(text);
	else
		text = NULL;
	va_end(again);
	log_vtrace(fmt, ap);
	return 0;
}

static uint32_t next_power_of_two(uint64_t n)
{
	uint32_t p = 1;

	while (p < n && p < 1u << 31)
		p <<= 1;
	return p;
}

static void set_type(struct bpf_program *prog, unsigned int type)
{
	bpf_program__set_expected_attach_type(prog, (enum bpf_attach_type)type);
}

/* Which programs are loaded, and as what: decided before the verifier sees them. */
static void choose_programs(struct attach *a, const struct attach_config *cfg)
{
	bool session = a->way == WAY_SESSION;
	unsigned int entry = a->way == WAY_PERF ? 0 : SYS_UPROBE_MULTI;

	bpf_program__set_autoload(a->skel->progs.luajit_entry, cfg->luajit);
	bpf_program__set_autoload(a->skel->progs.alloc_session, session);
	bpf_program__set_autoload(a->skel->progs.alloc_enter, !session);
	bpf_program__set_autoload(a->skel->progs.alloc_leave, !session);
	bpf_program__set_autoload(a->skel->progs.c_heap_session, cfg->c_heap && session);
	bpf_program__set_autoload(a->skel->progs.c_heap_enter, cfg->c_heap && !session);
	bpf_program__set_autoload(a->skel->progs.c_heap_leave, cfg->c_heap && !session);
	set_type(a->skel->progs.c_heap_session, SYS_UPROBE_SESSION);
	set_type(a->skel->progs.c_heap_enter, entry);
	set_type(a->skel->progs.c_heap_leave, entry);
	set_type(a->skel->progs.alloc_session, SYS_UPROBE_SESSION);
	set_type(a->skel->progs.alloc_enter, entry);
	set_type(a->skel->progs.alloc_leave, entry);
	set_type(a->skel->progs.lua_entry, entry);
	set_type(a->skel->progs.luajit_entry, entry);
}

static void set_sizes(struct attach *a, const struct attach_config *cfg)
{
	a->maps.start_ns = clock_ns(CLOCK_MONOTONIC);
	/* Half full at max_blocks. */
	a->maps.n_buckets = next_power_of_two((cfg->max_blocks * 2 + LMT_BUCKET_SLOTS - 1) /
					      LMT_BUCKET_SLOTS);
	a->maps.n_states = cfg->max_states < LMT_MAX_STATES ? cfg->max_states : LMT_MAX_STATES;
	a->maps.n_sites = next_power_of_two(cfg->max_sites);
	a->maps.n_stacks = next_power_of_two(cfg->max_stacks);
	bpf_map__set_max_entries(a->skel->maps.blocks, a->maps.n_buckets);
	bpf_map__set_max_entries(a->skel->maps.states, a->maps.n_states);
	bpf_map__set_max_entries(a->skel->maps.sites, a->maps.n_sites + a->maps.n_stacks);
	bpf_map__set_max_entries(a->skel->maps.owners, a->maps.n_states * 3);
	bpf_map__set_max_entries(a->skel->maps.free_states, a->maps.n_states);
	if (cfg->each_call)
		bpf_map__set_max_entries(a->skel->maps.ring, LMT_RING_BYTES_CALLS);
	a->skel->rodata->config.bucket_mask = a->maps.n_buckets - 1;
	a->skel->rodata->config.site_mask = a->maps.n_sites - 1;
	a->skel->rodata->config.state_max = a->maps.n_states;
	a->skel->rodata->config.follow_all = cfg->follow_all;
	a->skel->rodata->config.floor = cfg->floor;
	a->skel->rodata->config.first_stack = a->maps.n_sites;
	a->skel->rodata->config.stack_mask = a->maps.n_stacks - 1;
	a->skel->rodata->config.stack_depth = cfg->stack_depth;
	a->skel->rodata->config.each_call = cfg->each_call;
	a->skel->rodata->config.sample_bytes = cfg->sample_bytes;
	a->skel->rodata->config.native = cfg->native;
	if (cfg->native && !cfg->each_call)
		bpf_map__set_max_entries(a->skel->maps.ring, LMT_RING_BYTES_NATIVE);
	a->maps.sample_bytes = cfg->sample_bytes;
}

static void set_map_fds(struct attach *a)
{
	a->maps.blocks = bpf_map__fd(a->skel->maps.blocks);
	a->maps.states = bpf_map__fd(a->skel->maps.states);
	a->maps.sites = bpf_map__fd(a->skel->maps.sites);
	a->maps.stats = bpf_map__fd(a->skel->maps.stats);
	a->maps.ring = bpf_map__fd(a->skel->maps.ring);
	a->maps.owners = bpf_map__fd(a->skel->maps.owners);
	a->maps.find_counts = bpf_map__fd(a->skel->maps.find_counts);
	a->maps.next_state = &a->skel->bss->next_state;
	a->maps.now_ms = &a->skel->bss->now_ms;
}

/* Of a way that the kernel refused, or for want of memory and files. */
static int explain_load(int rc, const struct attach *a, struct errmsg *err)
{
	if (rc == -ENOMEM || rc == -E2BIG)
		return errmsg_set(err, -ENOMEM,
				  "not enough memory for the table of live blocks (%llu MiB); lower "
				  "--max-blocks",
				  (unsigned long long)a->maps.n_buckets * sizeof(struct lmt_bucket) >> 20);
	if (rc == -EMFILE)
		return errmsg_set(err, rc, "too many open files; raise the limit (ulimit -n)");
	if (rc == -EPERM)
		return errmsg_set(err, rc, "no permission to load the BPF programs; run as root, or with "
				  "CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
	return errmsg_set(err, -EOPNOTSUPP,
			  "this kernel refuses our BPF programs (%s); 'luamemtrace doctor -v' says where",
			  strerror(-rc));
}

static int map_callsites(struct attach *a)
{
	void *p = mmap(NULL, LMT_CALLSITES * sizeof(*a->callsites), PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(a->skel->maps.callsites), 0);

	if (p == MAP_FAILED)
		return -errno;
	a->callsites = p;
	return 0;
}

/* Forks and execs of traced processes. Without them much still works. */
static void watch_processes(struct attach *a)
{
	a->skel->links.on_exec = bpf_program__attach(a->skel->progs.on_exec);
	if (!a->skel->links.on_exec)
		log_warn("cannot watch for exec (%s); a target that runs another program is noticed late",
			 strerror(errno));
	a->skel->links.on_fork = bpf_program__attach(a->skel->progs.on_fork);
	if (!a->skel->links.on_fork)
		log_warn("cannot watch for fork (%s); children of targets are not followed",
			 strerror(errno));
	a->skel->links.on_exit = bpf_program__attach(a->skel->progs.on_exit);
	if (!a->skel->links.on_exit)
		log_warn("cannot watch for exit (%s); do not start commands", strerror(errno));
}

static int open_maps(struct attach *a, const struct attach_config *cfg, struct errmsg *err)
{
	int rc;

	set_map_fds(a);
	a->skel->bss->next_state = 1; /* index 0 is "none" */
	a->skel->bss->c_heap = cfg->c_heap;
	rc = map_callsites(a);
	if (rc)
		return errmsg_set(err, rc, "cannot map a table of the BPF programs: %s", strerror(-rc));
	return 0;
}

static int load(struct attach *a, const struct attach_config *cfg, const struct features *k, struct errmsg *err)
{
	int rc = prepare_programs(k->kfuncs);

	if (rc)
		return errmsg_set(err, rc, "cannot prepare the BPF programs: %s", strerror(-rc));
	last_words[0] = '\0';
	a->skel = skel__open();
	if (!a->skel)
		return errmsg_set(err, -errno, "cannot open the BPF programs: %s", strerror(errno));
	choose_programs(a, cfg);
	set_sizes(a, cfg);
	rc = skel__load(a->skel);
	return rc ? explain_load(rc, a, err) : open_maps(a, cfg, err);
}

static int load_way(const struct attach_config *cfg, const struct features *k, enum feature_way way,
		    struct attach **ret, struct errmsg *err)
{
	struct attach *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return errmsg_set(err, -ENOMEM, "out of memory");
	a->way = way;
	a->system_wide = cfg->system_wide;
	a->without = cfg->without;
	a->next_slot = 1;
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(print_libbpf);
	rc = load(a, cfg, k, err);
	if (rc) {
		attach_free(a);
		return rc;
	}
	*ret = a;
	return 0;
}

static void note_refusal(struct trial *t, int rc, const struct errmsg *err)
{
	feature_failed(t, rc, "%s", err->text);
	snprintf(t->said, sizeof(t->said), "%s", last_words);
}

int attach_new(const struct attach_config *cfg, struct features *k, struct attach **ret,
	       struct errmsg *err)
{
	int rc = feature_check(k, err);

	for (enum feature_way way = feature_best_way(k); way < WAYS; way = feature_best_way(k)) {
		rc = load_way(cfg, k, way, ret, err);
		if (!rc)
			watch_processes(*ret);
		if (rc != -EOPNOTSUPP)
			break;
		note_refusal(&k->ways[way], rc, err);
		log_debug("%s: %s", feature_way_name(way), err->text);
	}
	return rc;
}

#define TRIED_BLOCKS 4096
#define TRIED_SITES 1024

void attach_try(struct features *k, enum feature_way way)
{
	const struct attach_config cfg = { .max_blocks = TRIED_BLOCKS, .max_states = TRIED_SITES,
					   .max_sites = TRIED_SITES, .max_stacks = TRIED_SITES,
					   .c_heap = true, .luajit = true, .sample_bytes = TRIED_BLOCKS,
					   .stack_depth = LMT_STACK_FRAMES };
	struct attach *a = NULL;
	struct errmsg err;
	uint64_t offset;
	int rc;

	if (k->ways[way].result == TRIAL_FAILED)
		return;
	rc = load_way(&cfg, k, way, &a, &err);
	if (rc)
		note_refusal(&k->ways[way], rc, &err);
	else if ((rc = feature_own_place(&offset)) || (rc = attach_own(a, offset)))
		feature_failed(&k->ways[way], rc, "our programs load, but cannot be attached (%s)", strerror(-rc));
	else
		k->ways[way].result = TRIAL_WORKS;
	attach_free(a);
}

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
