/* SPDX-License-Identifier: MIT */
#include "detect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What each thing that the BPF side notices may be. */
static const struct {
	uint32_t what; /* LMT_FIND_… */
	void (*detect)(struct findings *fs, const struct noticed *n);
} detectors[] = {
	{ LMT_FIND_STATIC_FREE, detect_static_free },
	{ LMT_FIND_CROSS_RUNTIME, detect_cross_runtime },
	{ LMT_FIND_NEAR_OOM, detect_oom },
	{ LMT_FIND_OOM, detect_oom },
	{ LMT_FIND_SHRINK, detect_shrink },
	{ LMT_FIND_SIZE, detect_size_mismatch },
	{ LMT_FIND_DOUBLE_FREE, detect_double_free },
	{ LMT_FIND_FOREIGN_FREE, detect_foreign_free },
	{ LMT_FIND_CORRUPT_CHUNK, detect_corrupt_chunk },
	{ LMT_FIND_CHUNK_FREE, detect_double_free },
	{ LMT_FIND_ERR_MEM, detect_err_mem },
	{ LMT_FIND_STALE_ARG, detect_stale_arg },
};

/* What shows in the ledger as a whole. */
static void (*const snapshot_detectors[])(struct findings *fs, struct heap *h,
					  const struct snapshot *snap, bool last) = {
	detect_leak,
	detect_c_leak,
	detect_outlived,
	detect_drift,
	detect_states,
};

static const char *const kind_names[] = {
#define FINDING_NAME(id, name) name,
	FINDING_KINDS(FINDING_NAME)
#undef FINDING_NAME
};

const char *finding_kind_name(enum finding_kind k)
{
	return kind_names[k];
}

bool finding_kind_find(const char *name, enum finding_kind *ret)
{
	for (int k = 0; k < FINDING_MAX; k++) {
		if (strcmp(name, kind_names[k]))
			continue;
		*ret = (enum finding_kind)k;
		return true;
	}
	return false;
}

const char *severity_name(enum severity s)
{
	static const char *const names[] = { "info", "warning", "error", "fatal" };

	return names[s];
}

const char *confidence_name(enum confidence c)
{
	static const char *const names[] = { "possible", "likely", "certain" };

	return names[c];
}

void findings_deinit(struct findings *fs)
{
	vec_deinit(&fs->v);
	hashmap_deinit(&fs->by_key);
}

void detect_noticed(struct findings *fs, const struct noticed *n)
{
	for (size_t i = 0; i < sizeof(detectors) / sizeof(detectors[0]); i++)
		if (detectors[i].what == n->e->e.arg0)
			detectors[i].detect(fs, n);
}

void detect_snapshot(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last)
{
	for (size_t i = 0; i < sizeof(snapshot_detectors) / sizeof(snapshot_detectors[0]); i++)
		snapshot_detectors[i](fs, h, snap, last);
}

static uint64_t key_of(enum finding_kind kind, uint64_t key)
{
	uint64_t mixed = (key ^ (uint64_t)kind << 58) * 0x9E3779B97F4A7C15ull;

	return mixed ? mixed : 1;
}

void finding_withdraw(struct findings *fs, enum finding_kind kind, uint64_t key)
{
	const uint64_t *at = hashmap_lookup(&fs->by_key, key_of(kind, key));

	if (at && *at)
		fs->v.v[*at - 1].withdrawn = true;
}

struct finding *finding_make(struct findings *fs, enum finding_kind kind, uint64_t key)
{
	struct finding f = { .kind = kind, .key = key_of(kind, key), .count = 1 };
	uint64_t *at;

	at = hashmap_get_or_add(&fs->by_key, f.key);
	if (!at || (!*at && vec_push(&fs->v, f))) {
		fs->failed = true;
		return NULL;
	}
	if (!*at)
		*at = fs->v.n;
	fs->v.v[*at - 1].n_evidence = 0;
	fs->v.v[*at - 1].withdrawn = false;
	return &fs->v.v[*at - 1];
}

struct finding *finding_of_noticed(struct findings *fs, enum finding_kind kind,
				   const struct noticed *n)
{
	return finding_of_key(fs, kind, n, n->e->key);
}

struct finding *finding_of_key(struct findings *fs, enum finding_kind kind, const struct noticed *n,
			       uint64_t key)
{
	struct finding *f = finding_make(fs, kind, key);

	if (!f)
		return NULL;
	if (!f->time_ns) {
		f->time_ns = n->e->e.time_ns;
		f->tid = (pid_t)n->e->e.tid;
	}
	f->bpf_key = n->e->key;
	f->ptr_uaddr = n->e->ptr;
	f->pid = n->pid;
	f->state = n->state ? n->state->number : 0;
	f->frame = n->frame;
	f->below = n->below;
	if (n->stack)
		f->stack = n->stack;
	if (n->e->e.arg1 > f->count)
		f->count = n->e->e.arg1;
	return f;
}

enum confidence finding_confidence(const struct finding *f)
{
	return f->frame.approx && f->confidence == CONFIDENCE_CERTAIN ? CONFIDENCE_LIKELY
								     : f->confidence;
}

static uint32_t format_text(struct findings *fs, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	return strpool_add(fs->strings, text);
}

void finding_say(struct findings *fs, struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	f->message = format_text(fs, fmt, ap);
	va_end(ap);
}

void finding_advise(struct findings *fs, struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	f->advice = format_text(fs, fmt, ap);
	va_end(ap);
}

static void add(struct finding *f, struct evidence e)
{
	if (f->n_evidence < FINDING_EVIDENCE)
		f->evidence[f->n_evidence++] = e;
}

void evidence_number(struct finding *f, const char *key, uint64_t n)
{
	add(f, (struct evidence){ .key = key, .type = EVIDENCE_NUMBER, .n = n });
}

void evidence_signed(struct finding *f, const char *key, int64_t n)
{
	add(f, (struct evidence){ .key = key, .type = EVIDENCE_SIGNED, .n = (uint64_t)n });
}

void evidence_address(struct finding *f, const char *key, uint64_t uaddr)
{
	add(f, (struct evidence){ .key = key, .type = EVIDENCE_ADDRESS, .n = uaddr });
}

void evidence_rate(struct finding *f, const char *key, double rate)
{
	add(f, (struct evidence){ .key = key, .type = EVIDENCE_RATE, .rate = rate });
}

void evidence_text(struct findings *fs, struct finding *f, const char *key, const char *text)
{
	if (text && *text)
		add(f, (struct evidence){ .key = key, .type = EVIDENCE_TEXT,
					  .text = strpool_add(fs->strings, text) });
}

void evidence_path(struct finding *f, const char *key, uint32_t text)
{
	if (text)
		add(f, (struct evidence){ .key = key, .type = EVIDENCE_PATH, .text = text });
}

void evidence_lines(struct findings *fs, struct finding *f, const char *key, const char *lines)
{
	add(f, (struct evidence){ .key = key, .type = EVIDENCE_LINES,
				  .text = strpool_add(fs->strings, lines) });
}

void evidence_stack(struct finding *f, const char *key, const struct frame *leaf, uint32_t stack)
{
	add(f, (struct evidence){
		       .key = key, .type = EVIDENCE_STACK, .frame = *leaf, .stack = stack });
}

const char *tag_name(const struct lmt_layout *l, uint32_t tag)
{
	return tag == 0 ? "none" : kind_name(kind_of_tag(l, tag));
}
