/* SPDX-License-Identifier: MIT */
#include "code_paths.h"

#include <string.h>

#include "insn.h"

#define INSN_BYTES 15
#define STEPS 6000  /* instructions, all ways together */
#define FORKS 160   /* on one way */
#define SEEN 2048   /* places with what is known there */
#define SLOTS 64    /* words below the return address */
#define FAR (1 << 20)
#define NO_FRAME INT64_MAX

static const uint8_t arg_reg[PATH_ARGS] = { REG_DI, REG_SI, REG_DX, REG_CX };
#define LOST_IN_CALLS (1u << REG_AX | 1u << REG_CX | 1u << REG_DX | 1u << REG_SI | 1u << REG_DI | 0xfu << REG_8)

/* One way, as far as it was followed. */
struct way {
	uint64_t at;
	int64_t sp, frame; /* from the return address; frame: rbp, if it holds such a place */
	uint8_t reg[16], slot[SLOTS], knows[PATH_ARGS];
	uint8_t flags; /* the argument that was compared with 0, or HOLDS_OTHER */
	bool pushed;
	unsigned int forks;
};

struct walk {
	struct elf_file *f;
	const struct elf_function *range; /* NULL: not known */
	struct paths *to;
	unsigned int steps;
	uint64_t seen[SEEN];
	size_t n_seen;
};

static bool decode_at(struct elf_file *f, uint64_t vaddr, struct insn *in)
{
	for (size_t len = INSN_BYTES; len; len--) {
		const uint8_t *bytes = elf_data(f, vaddr, len);

		if (bytes)
			return elf_is_code(f, vaddr) && insn_decode(bytes, len, vaddr, in);
	}
	return false;
}

uint64_t paths_behind(struct elf_file *f, uint64_t entry)
{
	struct insn in;

	for (int i = 0; i < 4; i++) {
		uint64_t at = entry;

		while (decode_at(f, at, &in) && in.op == INSN_NOP && at - entry < INSN_BYTES)
			at += in.len;
		if (in.op != INSN_JMP || !in.target)
			return entry;
		entry = in.target;
	}
	return entry;
}

static uint8_t *slot_at(struct way *w, int64_t place)
{
	return place < 0 && place >= -8 * SLOTS && place % 8 == 0 ? &w->slot[-place / 8 - 1] : NULL;
}

/* The word of the function's own frame that an operand names, or NULL. */
static uint8_t *slot_of(struct way *w, const struct insn_operand *o)
{
	if (o->type != OPND_MEM || o->index != REG_NONE || o->size != 8)
		return NULL;
	if (o->reg == REG_SP)
		return slot_at(w, w->sp + o->value);
	return o->reg == REG_BP && w->frame != NO_FRAME ? slot_at(w, w->frame + o->value) : NULL;
}

static uint8_t value_of(struct way *w, const struct insn_operand *o)
{
	const uint8_t *slot = slot_of(w, o);

	if (o->type == OPND_REG && o->size == 8 && o->reg < 16)
		return w->reg[o->reg];
	return slot ? *slot : HOLDS_OTHER;
}

static void lose(struct way *w, unsigned int regs)
{
	for (unsigned int r = 0; r < 16; r++)
		if (regs >> r & 1)
			w->reg[r] = HOLDS_OTHER;
	if (regs >> REG_BP & 1)
		w->frame = NO_FRAME;
}

/* mov and its kin: what is moved where. */
static void move(struct way *w, const struct insn *in)
{
	uint8_t v = in->op == INSN_MOV ? value_of(w, &in->o[1]) : HOLDS_OTHER;
	bool to_frame = in->op == INSN_MOV && opnd_is_reg(&in->o[0], REG_BP) && opnd_is_reg(&in->o[1], REG_SP);
	uint8_t *slot = slot_of(w, &in->o[0]);

	lose(w, in->writes);
	if (to_frame)
		w->frame = w->sp;
	else if (in->o[0].type == OPND_REG && in->o[0].size == 8 && in->o[0].reg < 16)
		w->reg[in->o[0].reg] = v;
	else if (slot)
		*slot = v;
}

static bool push_pop(struct way *w, const struct insn *in)
{
	bool push = in->op == INSN_PUSH;
	uint8_t v = push ? value_of(w, &in->o[0]) : HOLDS_OTHER, *slot;
	int64_t frame = w->frame;

	if (push) {
		w->sp -= 8;
		w->pushed = true;
	}
	slot = slot_at(w, w->sp);
	if (push && slot)
		*slot = v;
	if (!push) {
		w->sp += 8;
		lose(w, in->writes & ~(1u << REG_SP));
		if (slot && in->o[0].type == OPND_REG && in->o[0].reg < 16)
			w->reg[in->o[0].reg] = *slot;
	} else {
		w->frame = frame;
	}
	return w->sp <= 0 && w->sp > -FAR;
}

/* False when the way is lost. */
static bool arithmetic(struct way *w, const struct insn *in)
{
	bool sp = in->o[0].type == OPND_REG && in->o[0].reg == REG_SP && in->op != INSN_CMP && in->op != INSN_TEST;

	w->flags = HOLDS_OTHER;
	if (sp && (in->op == INSN_SUB || in->op == INSN_ADD) && in->o[1].type == OPND_IMM) {
		w->sp += in->op == INSN_ADD ? in->o[1].value : -in->o[1].value;
		w->pushed |= in->op == INSN_SUB;
		return w->sp <= 0 && w->sp > -FAR;
	}
	if (sp)
		return false;
	if (in->op == INSN_TEST && in->o[0].type == OPND_REG && in->o[1].type == OPND_REG && in->o[0].reg == in->o[1].reg)
		w->flags = value_of(w, &in->o[0]);
	if (in->op == INSN_CMP && opnd_is_imm(&in->o[1], 0))
		w->flags = value_of(w, &in->o[0]);
	if (in->op != INSN_TEST && in->op != INSN_CMP) {
		uint8_t *slot = slot_of(w, &in->o[0]);

		if (slot)
			*slot = HOLDS_OTHER;
		lose(w, in->writes);
	}
	return true;
}

static void note_call(struct walk *k, struct way *w, uint64_t target, bool last)
{
	struct path_call c;

	memset(&c, 0, sizeof(c)); /* padding too: they are compared as a whole */
	c.target = target ? paths_behind(k->f, target) : 0;
	c.passes[0] = w->reg[REG_DI];
	c.passes[1] = w->reg[REG_SI];
	memcpy(c.knows, w->knows, sizeof(c.knows));
	c.last = last;
	for (size_t i = 0; i < k->to->n; i++)
		if (!memcmp(&k->to->call[i], &c, sizeof(c)))
			return;
	if (k->to->n == PATH_CALLS)
		k->to->incomplete = true;
	else
		k->to->call[k->to->n++] = c;
}

/* Does the jump leave the function? *sure: its end, or that its frame is taken down, tells. */
static bool leaves(const struct walk *k, const struct way *w, uint64_t target, bool *sure)
{
	const struct elf_function *r = k->range;

	*sure = r || w->pushed;
	if (w->sp || (r && target > r->start && target < r->end))
		return false;
	return true;
}

static bool was_here(struct walk *k, const struct way *w)
{
	uint64_t h = w->at;

	for (int i = 0; i < PATH_ARGS; i++)
		h = (h ^ w->knows[i] ^ (uint64_t)w->reg[arg_reg[i]] << 8) * 0x9E3779B97F4A7C15ull;
	h = (h ^ h >> 29 ^ (uint64_t)w->sp ^ w->reg[REG_BX] ^ (uint64_t)w->reg[REG_BP] << 8 ^
	     (uint64_t)w->reg[REG_AX] << 16 ^ (uint64_t)w->reg[REG_12] << 24) * 0xD6E8FEB86659FD93ull;
	for (size_t i = 0; i < k->n_seen; i++)
		if (k->seen[i] == h)
			return true;
	if (k->n_seen == SEEN)
		k->to->incomplete = true;
	else
		k->seen[k->n_seen++] = h;
	return k->n_seen == SEEN;
}

static void follow(struct walk *k, struct way w);

/* Both ways of a branch, but for what is known to be impossible. */
static void branch(struct walk *k, struct way *w, const struct insn *in)
{
	bool on_zero = in->cc == CC_E || in->cc == CC_NE;
	uint8_t arg = on_zero && w->flags < PATH_ARGS ? w->flags : HOLDS_OTHER;

	for (int taken = 0; taken < 2; taken++) {
		uint8_t want = taken == (in->cc == CC_E) ? ARG_ZERO : ARG_NOT_ZERO;
		struct way next = *w;

		next.at = taken ? in->target : in->addr + in->len;
		next.forks++;
		if (arg != HOLDS_OTHER) {
			if (next.knows[arg] != ARG_ANY && next.knows[arg] != want)
				continue;
			next.knows[arg] = want;
		}
		if (next.forks > FORKS || was_here(k, &next))
			k->to->incomplete |= next.forks > FORKS;
		else
			follow(k, next);
	}
}

/* False where the way ends. */
static bool call_or_jump(struct walk *k, struct way *w, const struct insn *in)
{
	bool sure;

	if (in->op == INSN_CALL) {
		note_call(k, w, in->target, false);
		lose(w, LOST_IN_CALLS);
		w->reg[REG_AX] = HOLDS_RESULT;
		w->flags = HOLDS_OTHER;
		return true;
	}
	if (in->target && !leaves(k, w, in->target, &sure)) {
		w->at = in->target - in->len;
		return !was_here(k, w);
	}
	if (!in->target || !sure)
		k->to->incomplete = true;
	note_call(k, w, in->target, true);
	return false;
}

static void end(struct walk *k, const struct way *w)
{
	const uint8_t *byte = elf_data(k->f, w->at, 1);

	if (!byte || (*byte != 0xc3 && *byte != 0xc2 && *byte != 0xf3))
		return; /* it aborts */
	k->to->ends++;
	k->to->results += w->reg[REG_AX] == HOLDS_RESULT;
}

/* One instruction; false where the way ends. */
static bool step(struct walk *k, struct way *w, const struct insn *in)
{
	switch (in->op) {
	case INSN_NOP:
		return true;
	case INSN_MOV:
	case INSN_MOVSXD:
	case INSN_LEA:
		if (in->writes >> REG_SP & 1)
			break;
		move(w, in);
		return true;
	case INSN_PUSH:
	case INSN_POP:
		if (push_pop(w, in))
			return true;
		break;
	case INSN_JMP:
	case INSN_CALL:
		return call_or_jump(k, w, in);
	case INSN_JCC:
		branch(k, w, in);
		return false;
	case INSN_RET:
		end(k, w);
		return false;
	case INSN_OTHER:
		w->flags = HOLDS_OTHER;
		lose(w, in->writes & ~(1u << REG_SP));
		if (!(in->writes >> REG_SP & 1))
			return true;
		w->sp = 0; /* leave: a return follows */
		return true;
	default:
		if (arithmetic(w, in))
			return true;
	}
	k->to->incomplete = true;
	return false;
}

static void follow(struct walk *k, struct way w)
{
	struct insn in;

	do {
		if (k->steps++ >= STEPS || !decode_at(k->f, w.at, &in)) {
			k->to->incomplete = true;
			return;
		}
		if (!step(k, &w, &in))
			return;
		w.at += in.len;
	} while (true);
}

void paths_walk(struct elf_file *f, uint64_t entry, const uint8_t assume[PATH_ARGS], struct paths *ret)
{
	struct walk k = { .f = f, .range = elf_function_at(f, entry), .to = ret };
	struct way w = { .at = entry, .frame = NO_FRAME, .flags = HOLDS_OTHER };

	*ret = (struct paths){ 0 };
	if (k.range && k.range->start != entry)
		k.range = NULL;
	memset(w.reg, HOLDS_OTHER, sizeof(w.reg));
	memset(w.slot, HOLDS_OTHER, sizeof(w.slot));
	for (int i = 0; i < PATH_ARGS; i++) {
		w.reg[arg_reg[i]] = (uint8_t)i;
		w.knows[i] = assume[i];
	}
	follow(&k, w);
}
