/* SPDX-License-Identifier: MIT */
#include "unwind.h"

#include <string.h>

#include "cfi.h"

/*
 * LuaJIT's C frame on x86-64: 80 bytes from the interpreter's rsp, the return address on top of
 * them (vm_x64.dasc, vm_x86.dasc: saveregs, CFRAME_SIZE; bpf/stack_luajit.bpf.h for the rest).
 */
#define CFRAME_NRES_GC64 8
#define CFRAME_NRES_GC32 16
#define CFRAME_PREV 32
#define CFRAME_R14 40
#define CFRAME_R15 48
#define CFRAME_RBX 56
#define CFRAME_RBP 64
#define CFRAME_RET 72
#define CFRAME_SIZE 80
#define VM_CODE 8192 /* the interpreter is one function to the tables, bigger than this */

struct walk {
	const struct target *t;
	struct files *files;
	const struct lmt_native *n;
	bool gc64;
	struct cfi_regs regs;
	uint64_t cframe; /* the next one outwards; 0: none is known */
	bool linked;     /* …by L->cframe, not only where one may lie */
};

static bool read_stack(void *ctx, uint64_t uaddr, uint64_t *ret)
{
	const struct lmt_native *n = ctx;
	uint64_t off = uaddr - n->start;

	if (n->len > sizeof(n->data) || off > n->len || n->len - off < 8)
		return false;
	memcpy(ret, n->data + off, 8);
	return true;
}

/* Does a call end at vaddr? Tells a return address from words that merely look like code. */
static bool follows_call(const struct file *f, uint64_t vaddr)
{
	const uint8_t *p = elf_data(f->elf, vaddr - 7, 7);

	if (!p)
		return elf_is_code(f->elf, vaddr - 1);
	if (p[2] == 0xe8)
		return true;
	for (int len = 2; len <= 7; len++) /* ff /2, with or without a prefix */
		if (p[7 - len] == 0xff && (p[8 - len] >> 3 & 7) == 2)
			return true;
	return false;
}

static struct file *file_at(struct walk *w, uint64_t ip, uint64_t *vaddr)
{
	const struct module *m = target_module_at(w->t, ip - 1);
	struct file *f = m ? files_get(w->files, m) : NULL;

	if (!f || !f->elf)
		return NULL;
	*vaddr = file_vaddr(f, m, ip);
	return follows_call(f, *vaddr) ? f : NULL;
}

static void note_function(const struct file *f, uint64_t ip, uint64_t vaddr, struct unwind_frame *out)
{
	const struct elf_function *fn = elf_function_at(f->elf, vaddr - 1);

	if (!fn)
		return;
	out->start = fn->start + (ip - vaddr);
	out->end = fn->end + (ip - vaddr);
}

/* Past a C frame: the one before it on this thread, else that of whoever resumed the coroutine. */
static void next_cframe(struct walk *w)
{
	uint64_t prev = 0;

	w->linked = read_stack((void *)w->n, w->cframe + CFRAME_PREV, &prev) && prev & ~7ull;
	prev &= ~7ull;
	if (!w->linked)
		w->cframe += CFRAME_SIZE;
	else
		w->cframe = prev > w->cframe ? prev : 0;
}

/* Goes on above a C frame of the interpreter, by its form. */
static bool leave_cframe(struct walk *w)
{
	static const struct { uint8_t reg, at; } saved[] = {
		{ CFI_RIP, CFRAME_RET }, { CFI_RBP, CFRAME_RBP }, { CFI_RBX, CFRAME_RBX },
		{ CFI_R12 + 3, CFRAME_R15 }, { CFI_R12 + 2, CFRAME_R14 },
	};

	w->regs.known = 1u << CFI_RSP;
	w->regs.v[CFI_RSP] = w->cframe + CFRAME_SIZE;
	for (size_t i = 0; i < sizeof(saved) / sizeof(saved[0]); i++) {
		if (!read_stack((void *)w->n, w->cframe + saved[i].at, &w->regs.v[saved[i].reg]))
			return false;
		w->regs.known |= 1u << saved[i].reg;
	}
	next_cframe(w);
	return true;
}

/* Leaves those C frames behind that were passed. */
static void pass_cframes(struct walk *w)
{
	while (w->cframe && w->cframe < w->regs.v[CFI_RSP]) {
		if (w->linked)
			next_cframe(w);
		else
			w->cframe = 0;
	}
}

static bool is_interpreter(struct walk *w, const struct unwind_frame *f)
{
	pass_cframes(w);
	return w->cframe && w->cframe == w->regs.v[CFI_RSP] &&
	       (w->linked || f->end - f->start > VM_CODE);
}

/* "Neg. delta means cframe w/o frame", if nothing was called since (vm_x64.dasc: vm_cpcall). */
static bool protects_c(const struct walk *w)
{
	uint64_t nres;

	return read_stack((void *)w->n,
			  w->cframe + (w->gc64 ? CFRAME_NRES_GC64 : CFRAME_NRES_GC32), &nres) &&
	       (int32_t)nres < 0;
}

static void begin(struct walk *w)
{
	static const uint8_t regs[] = { CFI_RBX, CFI_RBP, CFI_R12, CFI_R12 + 1, CFI_R12 + 2, CFI_R12 + 3 };

	w->regs.v[CFI_RIP] = w->n->ip;
	w->regs.v[CFI_RSP] = w->n->sp;
	w->regs.known = 1u << CFI_RIP | 1u << CFI_RSP;
	for (size_t i = 0; i < sizeof(regs); i++) {
		w->regs.v[regs[i]] = w->n->reg[i];
		w->regs.known |= 1u << regs[i];
	}
	w->cframe = w->n->cframe;
	w->linked = w->cframe != 0;
}

/* Can the walk go on there? What is no file's code is seen to when it is its turn. */
static bool is_plausible(struct walk *w, uint64_t sp_before)
{
	uint64_t ip = w->regs.v[CFI_RIP], vaddr;

	return w->regs.v[CFI_RSP] > sp_before &&
	       (!target_module_at(w->t, ip - 1) || file_at(w, ip, &vaddr));
}

/* One frame outwards by the tables; the registers stay where that fails. */
static enum cfi_answer step(struct walk *w, struct file *f, uint64_t vaddr)
{
	struct cfi_undo undo = { &w->regs, read_stack, (void *)w->n };
	struct cfi_regs before = w->regs;
	struct cfi *cfi = file_cfi(f);
	enum cfi_answer answer = cfi ? cfi_undo(cfi, vaddr - 1, &undo) : CFI_NONE;

	if (answer == CFI_UNDONE && !w->regs.v[CFI_RIP])
		return CFI_OUTERMOST;
	if (answer != CFI_UNDONE || is_plausible(w, before.v[CFI_RSP]))
		return answer;
	w->regs = before;
	return CFI_NONE;
}

/* Adds the frame the walk stands in, if a file has it, and steps out of it. */
static enum cfi_answer leave_frame(struct walk *w, struct unwind_frame *out, size_t *n)
{
	uint64_t ip = w->regs.v[CFI_RIP], vaddr;
	struct file *f = file_at(w, ip, &vaddr);
	enum cfi_answer answer;

	if (!f)
		return CFI_NONE;
	out[*n] = (struct unwind_frame){ .ip = ip };
	note_function(f, ip, vaddr, &out[*n]);
	out[*n].interpreter = is_interpreter(w, &out[*n]);
	out[*n].protects = out[*n].interpreter && protects_c(w);
	answer = step(w, f, vaddr);
	if (out[*n].interpreter && answer == CFI_UNDONE)
		next_cframe(w);
	++*n;
	return answer;
}

size_t unwind(const struct target *t, struct files *files, const struct lmt_native *n, bool gc64,
	      struct unwind_frame *out, size_t max, bool *whole)
{
	struct walk w = { .t = t, .files = files, .n = n, .gc64 = gc64 };
	enum cfi_answer answer = CFI_UNDONE;
	size_t i = 0;

	begin(&w);
	while (i < max && answer == CFI_UNDONE) {
		size_t had = i;

		answer = leave_frame(&w, out, &i);
		if (answer != CFI_NONE)
			continue;
		pass_cframes(&w);
		if (!w.linked || !w.cframe)
			break;
		if (i < max && (had == i || !out[i - 1].interpreter))
			out[i++] = (struct unwind_frame){ .interpreter = true };
		if (leave_cframe(&w))
			answer = CFI_UNDONE;
	}
	*whole = answer == CFI_OUTERMOST;
	return i;
}
