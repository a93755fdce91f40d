/* SPDX-License-Identifier: MIT */
/*
 * use-after-free: C code gets a pointer into a block that the collector has freed and the allocator
 * has not handed out again. A probe sees stale arguments, not the load or store behind them.
 */
#include "detect.h"

#include "base/fmt.h"

/* The same call may be met twice: on its way through the FFI, and in the function itself. */
static uint64_t key_of(const struct noticed *n, uint32_t function)
{
	uint64_t parts[] = { (uint64_t)n->pid, n->state ? n->state->index : 0, function,
			     n->alloc_frame.where, n->e->arg[LMT_STALE_ARGUMENT] };
	uint64_t key = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		key = (key ^ parts[i]) * 0x9E3779B97F4A7C15ull;
	return key;
}

void detect_stale_arg(struct findings *fs, const struct noticed *n)
{
	const struct lmt_finding *e = n->e;
	unsigned long long size = LMT_BLOCK_SIZE(&e->block), off = e->ptr - e->arg[LMT_STALE_BLOCK];
	const char *function = n->function ? n->function : "a C function";
	const char *line = n->alloc_frame.where
				   ? fmt_chunk(strpool_get(fs->strings, n->alloc_frame.where))
				   : NULL;
	struct finding *f;

	if (!n->saw_all)
		return;
	f = finding_of_key(fs, FINDING_USE_AFTER_FREE, n,
			   key_of(n, strpool_add(fs->strings, function)));
	if (!f)
		return;
	f->severity = SEVERITY_FATAL;
	f->confidence = CONFIDENCE_CERTAIN;
	evidence_address(f, "ptr", e->ptr);
	evidence_text(fs, f, "function", n->function);
	evidence_number(f, "argument", e->arg[LMT_STALE_ARGUMENT] + 1);
	evidence_address(f, "block", e->arg[LMT_STALE_BLOCK]);
	evidence_number(f, "block_size", size);
	evidence_number(f, "offset", off);
	evidence_number(f, "freed_ms_ago", e->arg[LMT_STALE_FREED_MS]);
	evidence_stack(f, "alloc", &n->alloc_frame, n->alloc_stack);
	evidence_stack(f, "free", &n->other_frame, n->other_stack);
	evidence_text(fs, f, "free_phase", n->free_phase);
	finding_say(fs, f, "%s() gets a pointer to memory the garbage collector has freed: argument %llu is "
		    "%llu bytes inside a block of %llu%s%s%s, freed %llu ms ago", function,
		    (unsigned long long)e->arg[LMT_STALE_ARGUMENT] + 1, off, size, line ? " (allocated at " : "",
		    line ? line : "", line ? ")" : "", (unsigned long long)e->arg[LMT_STALE_FREED_MS]);
	finding_advise(fs, f, "keep a Lua reference to the buffer for as long as C uses it: a pointer stored "
		       "in a cdata field, or passed to C, does not keep its object alive");
}
