/* SPDX-License-Identifier: MIT */
/* Loads the BPF programs: which of them, how large their tables are, by which way, and why not. */
#include "attach_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

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
	a->skel->rodata->config.no_storage = cfg->no_storage;
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
