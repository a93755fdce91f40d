/* SPDX-License-Identifier: MIT */
/*
 * A function is walked along all of its ways, each instruction once, with a number for what each
 * register and stack word holds: copies share it. At the allocator's call the numbers of its
 * arguments are noted, and at a rare call it is looked where these numbers are.
 */
#include "refusals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LUA_ERRMEM 4
#define CONST_WINDOW 16
#define SLOTS 24
#define PIECES 4      /* a function, and the parts of it that were moved away as unlikely */
#define PENDING 256   /* ways not walked yet */
#define STACK_WORDS 64 /* that a place can tell */
#define CALLER_SAVED (1u << REG_AX | 1u << REG_CX | 1u << REG_DX | 1u << REG_SI | 1u << REG_DI | \
		      0xfu << 8)

/* Numbers: what was in a register at the entry, zero, the address of the frame, or new at an instruction. */
enum { ID_NONE, ID_ENTRY, ID_ZERO = ID_ENTRY + 16, ID_FRAME, ID_NEW };

struct slot {
	int64_t at; /* from the stack pointer at entry, downwards */
	uint64_t id;
};

/* What is where, on the way to an instruction. */
struct holds {
	uint64_t reg[16];
	struct slot slot[SLOTS];
	unsigned int n_slots;
	int64_t sp, bp; /* bytes below the stack pointer at entry; bp: where rbp is the frame's */
	bool collected; /* behind the emergency collection */
};

struct step {
	const struct code_function *fn;
	size_t at;
	struct holds h;
};

struct request {
	uint64_t ptr, osize, nsize; /* numbers */
};

struct rare_call {
	const struct insn *in;
	enum refusal_kind kind;
	struct holds h;
};

struct walk {
	const struct code *code;
	const struct refusal_wants *w;
	const struct alloc_calls *calls;
	struct {
		const struct code_function *fn;
		bool *seen;
	} piece[PIECES];
	size_t n_pieces;
	vec_of(struct step) todo;
	vec_of(struct request) requests;
	vec_of(struct rare_call) rare;
	vec_of(uint64_t) retried; /* return addresses */
	bool hands_on;            /* the second answer is the function's own */
	int rc;
};

static struct slot *slot_at(struct holds *h, int64_t at)
{
	for (unsigned int i = 0; i < h->n_slots; i++)
		if (h->slot[i].at == at)
			return &h->slot[i];
	return NULL;
}

static void slot_set(struct holds *h, int64_t at, uint64_t id)
{
	struct slot *s = slot_at(h, at);

	if (!s && h->n_slots < SLOTS)
		s = &h->slot[h->n_slots++];
	if (s)
		*s = (struct slot){ at, id };
}

/* Is the operand a word of the frame? Its place then. */
static bool frame_word(const struct holds *h, const struct insn_operand *o, int64_t *at)
{
	if (o->type != OPND_MEM || o->index != REG_NONE ||
	    (o->reg != REG_SP && !(o->reg == REG_BP && h->reg[REG_BP] == ID_FRAME)))
		return false;
	*at = (o->reg == REG_SP ? h->sp : h->bp) - o->value;
	return true;
}

/* What the instruction moves into its first operand: the number, or ID_NONE for something new. */
static uint64_t moved(struct holds *h, const struct insn *in)
{
	const struct slot *s;
	int64_t at;

	if ((in->op == INSN_XOR || in->op == INSN_SUB) && in->n_ops > 1 && in->o[0].type == OPND_REG &&
	    opnd_is_reg(&in->o[1], in->o[0].reg))
		return ID_ZERO;
	if (in->op != INSN_MOV || in->n_ops < 2 || in->o[0].size < 4)
		return ID_NONE;
	if (in->o[1].type == OPND_REG && in->o[1].reg < 16)
		return h->reg[in->o[1].reg];
	if (opnd_is_imm(&in->o[1], 0))
		return ID_ZERO;
	s = frame_word(h, &in->o[1], &at) ? slot_at(h, at) : NULL;
	return s ? s->id : ID_NONE;
}

static uint64_t new_id(const struct insn *in, unsigned int reg)
{
	return ID_NEW + (in->addr << 4 | reg);
}

/* False when the stack pointer is lost. */
static bool move_stack(struct holds *h, const struct insn *in)
{
	struct slot *s;

	if (in->op == INSN_PUSH) {
		h->sp += 8;
		slot_set(h, h->sp, in->o[0].type == OPND_REG && in->o[0].reg < 16 ? h->reg[in->o[0].reg]
										 : ID_NONE);
	} else if (in->op == INSN_POP) {
		s = slot_at(h, h->sp);
		if (in->o[0].type == OPND_REG && in->o[0].reg < 16)
			h->reg[in->o[0].reg] = s && s->id ? s->id : new_id(in, in->o[0].reg);
		h->sp -= 8;
	} else if ((in->op == INSN_ADD || in->op == INSN_SUB) && opnd_is_reg(&in->o[0], REG_SP) &&
		   in->o[1].type == OPND_IMM) {
		h->sp += in->op == INSN_SUB ? in->o[1].value : -in->o[1].value;
	} else if (in->op == INSN_LEA && opnd_is_reg(&in->o[0], REG_SP)) {
		return frame_word(h, &in->o[1], &h->sp);
	} else {
		return false;
	}
	return true;
}

static bool apply(struct holds *h, const struct insn *in)
{
	uint64_t id = moved(h, in);
	int64_t at;

	if (in->op == INSN_PUSH || in->op == INSN_POP || (in->op != INSN_CALL && in->writes >> REG_SP & 1))
		return move_stack(h, in);
	if (in->n_ops && frame_word(h, &in->o[0], &at) && in->op != INSN_CMP && in->op != INSN_TEST &&
	    !insn_is_branch(in))
		slot_set(h, at, in->op == INSN_MOV ? id : ID_NONE);
	for (unsigned int r = 0; r < 16; r++)
		if (r != REG_SP && (in->writes >> r & 1 || (in->op == INSN_CALL && CALLER_SAVED >> r & 1)))
			h->reg[r] = new_id(in, r);
	if (id && in->o[0].type == OPND_REG && in->o[0].reg < 16)
		h->reg[in->o[0].reg] = id;
	if (in->op == INSN_MOV && opnd_is_reg(&in->o[0], REG_BP) && opnd_is_reg(&in->o[1], REG_SP)) {
		h->reg[REG_BP] = ID_FRAME;
		h->bp = h->sp;
	}
	return true;
}

static bool *seen_in(struct walk *k, const struct code_function *fn)
{
	bool *seen;

	for (size_t i = 0; i < k->n_pieces; i++)
		if (k->piece[i].fn == fn)
			return k->piece[i].seen;
	seen = k->n_pieces < PIECES ? calloc(fn->n, 1) : NULL;
	if (seen) {
		k->piece[k->n_pieces].fn = fn;
		k->piece[k->n_pieces++].seen = seen;
	}
	return seen;
}

static void go_to(struct walk *k, const struct code_function *fn, size_t at, const struct holds *h)
{
	bool *seen = at < fn->n ? seen_in(k, fn) : NULL;

	if (!seen || seen[at] || k->todo.n >= PENDING)
		return;
	seen[at] = true;
	if (!k->rc)
		k->rc = vec_push(&k->todo, (struct step){ fn, at, *h });
}

static void go_to_address(struct walk *k, uint64_t vaddr, const struct holds *h)
{
	const struct code_function *fn = code_holding(k->code, vaddr);
	size_t low = 0, high = fn ? fn->n : 0;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (fn->insn[mid].addr < vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	if (fn && low < fn->n && fn->insn[low].addr == vaddr)
		go_to(k, fn, low, h);
}

static bool calls_allocator(const struct walk *k, const struct insn *in)
{
	vec_each(c, &k->calls->v)
		if (c->fn->insn[c->at].addr == in->addr)
			return true;
	return false;
}

/* Is the call one of a rare function, with the argument that makes it rare? */
static bool is_rare(const struct walk *k, const struct step *s, enum refusal_kind *kind)
{
	const struct insn *in = &s->fn->insn[s->at];
	int64_t arg;

	if (!in->target)
		return false;
	if (in->target == k->w->err_mem) {
		*kind = REFUSAL_RAISES;
		return true;
	}
	*kind = in->target == k->w->fullgc ? REFUSAL_COLLECTS : REFUSAL_RAISES;
	return (in->target == k->w->fullgc || in->target == k->w->throw_fn) &&
	       code_const_arg(s->fn, s->at, REG_SI, CONST_WINDOW, &arg) &&
	       arg == (*kind == REFUSAL_COLLECTS ? 1 : LUA_ERRMEM);
}

static void note_call(struct walk *k, struct step *s)
{
	const struct insn *in = &s->fn->insn[s->at];
	bool asks = !in->target && calls_allocator(k, in);
	enum refusal_kind kind;
	int rc = 0;

	if (asks || (in->target && in->target == k->w->realloc_fn))
		rc = vec_push(&k->requests, (struct request){ s->h.reg[REG_SI], s->h.reg[REG_DX],
							      s->h.reg[REG_CX] });
	if (!rc && asks && s->h.collected && in->op == INSN_CALL)
		rc = vec_push(&k->retried, in->addr + in->len);
	k->hands_on |= asks && s->h.collected && in->op == INSN_JMP;
	if (!rc && is_rare(k, s, &kind)) {
		rc = vec_push(&k->rare, (struct rare_call){ in, kind, s->h });
		s->h.collected |= kind == REFUSAL_COLLECTS;
	}
	if (!k->rc)
		k->rc = rc;
}

static void take_step(struct walk *k, struct step *s)
{
	const struct insn *in = &s->fn->insn[s->at];

	if (in->op == INSN_CALL || in->op == INSN_JMP)
		note_call(k, s);
	if (in->op == INSN_RET || !apply(&s->h, in))
		return;
	if (in->op == INSN_JCC || (in->op == INSN_JMP && in->target >= s->fn->start && in->target < s->fn->end))
		go_to_address(k, in->target, &s->h); /* unlikely parts may lie elsewhere */
	if (in->op != INSN_JMP)
		go_to(k, s->fn, s->at + 1, &s->h);
}

/* Where a number is now. */
static uint8_t find(const struct holds *h, uint64_t id)
{
	if (id == ID_ZERO)
		return LMT_REG_ZERO;
	for (uint8_t r = 0; id && r < 16; r++)
		if (r != REG_SP && h->reg[r] == id)
			return r;
	for (unsigned int i = 0; id && i < h->n_slots; i++) {
		int64_t word = (h->sp - h->slot[i].at) / 8;

		if (h->slot[i].id == id && h->slot[i].at <= h->sp && (h->sp - h->slot[i].at) % 8 == 0 &&
		    word < STACK_WORDS)
			return (uint8_t)(LMT_REG_STACK + word);
	}
	return LMT_REG_LOST;
}

/* The request of which the rare call has kept most; what its size is decides. */
static struct refusal_site site_of(const struct walk *k, const struct rare_call *r)
{
	struct refusal_site best = { r->in->addr, r->kind, LMT_REG_LOST, LMT_REG_LOST, LMT_REG_LOST };
	int most = 0;

	vec_each(q, &k->requests) {
		struct refusal_site s = { r->in->addr, r->kind, find(&r->h, q->ptr),
					  find(&r->h, q->osize), find(&r->h, q->nsize) };
		int score = (s.nsize < LMT_REG_ZERO) * 4 + (s.ptr != LMT_REG_LOST) * 2 +
			    (s.osize != LMT_REG_LOST);

		if (score > most) {
			most = score;
			best = s;
		}
	}
	return best;
}

static int add_retried(struct refusals *ret, uint64_t vaddr)
{
	return vec_push(&ret->v, (struct refusal_site){ vaddr, REFUSAL_RETRIED, LMT_REG_LOST, LMT_REG_LOST,
							LMT_REG_LOST });
}

/* A function whose last act is to ask again is called only by those that were refused. */
static int add_callers_of(const struct walk *k, const struct code_function *fn, struct refusals *ret)
{
	size_t n;
	const struct code_edge *e = code_callers(k->code, fn->start, &n);
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i++) {
		const struct insn *in = &code_get(k->code, e[i].function)->insn[e[i].insn];

		if (in->op == INSN_CALL)
			rc = add_retried(ret, in->addr + in->len);
	}
	return rc;
}

static void walk_deinit(struct walk *k)
{
	for (size_t i = 0; i < k->n_pieces; i++)
		free(k->piece[i].seen);
	vec_deinit(&k->todo);
	vec_deinit(&k->requests);
	vec_deinit(&k->rare);
	vec_deinit(&k->retried);
}

static int walk_function(const struct code *c, const struct refusal_wants *w, const struct alloc_calls *calls,
			 const struct code_function *fn, struct refusals *ret)
{
	struct walk k = { .code = c, .w = w, .calls = calls };
	struct holds entry = { 0 };
	int rc;

	for (unsigned int r = 0; r < 16; r++)
		entry.reg[r] = ID_ENTRY + r;
	go_to(&k, fn, 0, &entry);
	while (!k.rc && k.todo.n) {
		struct step s = k.todo.v[--k.todo.n];

		take_step(&k, &s);
	}
	rc = k.rc;
	vec_each(r, &k.rare) {
		struct refusal_site s = site_of(&k, r);

		if (!rc && s.nsize < LMT_REG_ZERO)
			rc = vec_push(&ret->v, s);
	}
	vec_each(at, &k.retried)
		if (!rc)
			rc = add_retried(ret, *at);
	if (!rc && k.hands_on)
		rc = add_callers_of(&k, fn, ret);
	walk_deinit(&k);
	return rc;
}

int refusals_find(const struct code *c, const struct refusal_wants *w, struct refusals *ret)
{
	struct alloc_calls calls = { 0 };
	bool *asks = calloc(code_count(c) + 1, 1);
	int rc = asks ? alloc_calls_find(c, w->disp, &calls) : -ENOMEM;
	const struct code_edge *e;
	size_t n = 0;

	vec_each(call, &calls.v)
		asks[code_index(c, call->fn)] = true;
	e = rc || !w->realloc_fn ? NULL : code_callers(c, w->realloc_fn, &n);
	for (size_t i = 0; e && i < n; i++)
		asks[e[i].function] = true;
	for (size_t i = 0; !rc && i < code_count(c); i++)
		if (asks[i])
			rc = walk_function(c, w, &calls, code_get(c, i), ret);
	alloc_calls_deinit(&calls);
	free(asks);
	return rc;
}
