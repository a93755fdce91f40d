/* SPDX-License-Identifier: MIT */
/*
 * code: the functions of a file, decoded, and who calls whom.
 * L2 resolve. Must not know Lua.
 */
#ifndef LMT_RESOLVE_CODE_H
#define LMT_RESOLVE_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "elf.h"
#include "insn.h"

/* A function decoded linearly from its first byte to its last. */
struct code_function {
	uint64_t start, end;
	bool has_lsda;
	const struct insn *insn;
	size_t n;
};

/*
 * A direct call, or a direct jump that leaves its function. A PLT stub of a function that the
 * file itself defines counts as that function, in edges and in the instructions.
 */
struct code_edge {
	uint64_t target;   /* may be the PLT stub of an import */
	uint64_t at;       /* address of the call */
	uint32_t function; /* index of the caller */
	uint32_t insn;     /* index of the call in the caller */
};

struct code;

/*
 * Decodes every function of the file. *ret is the caller's, to be given to code_free(); f stays
 * the caller's and must outlive it. -ENODATA: no unwind table, hence no functions known;
 * -EFBIG: more code than is worth decoding (64 MiB).
 */
int code_new(struct elf_file *f, struct code **ret, struct errmsg *err);
void code_free(struct code *c);

struct elf_file *code_elf(const struct code *c);

/* Memory it takes. */
size_t code_bytes(const struct code *c);

size_t code_count(const struct code *c);
/* The i-th function by address. Valid until the code is freed. */
const struct code_function *code_get(const struct code *c, size_t i);
/* The function that starts at / holds vaddr, or NULL. */
const struct code_function *code_at(const struct code *c, uint64_t vaddr);
const struct code_function *code_holding(const struct code *c, uint64_t vaddr);
/* Position of a function in address order. */
size_t code_index(const struct code *c, const struct code_function *fn);

/* Edges to the address, in order of the caller; n_ret of them. Borrowed. */
const struct code_edge *code_callers(const struct code *c, uint64_t target, size_t *n_ret);

/* How many functions other than itself call it directly. */
size_t code_caller_count(const struct code *c, uint64_t target);

/* True when the function has an edge to the target. */
bool code_calls(const struct code *c, const struct code_function *fn, uint64_t target);

/*
 * The constant in a register at instruction `at`, looking back over at most `window`
 * instructions of the same function: mov reg, imm or xor reg, reg. False when it is not constant
 * or a call or unconditional branch lies between.
 */
bool code_const_arg(const struct code_function *fn, size_t at, unsigned int reg, size_t window,
		    int64_t *ret);

/*
 * One function decoded on its own, for files of which no more is wanted; *ret describes it. Its
 * instructions are the caller's to free; NULL when the address starts no function.
 */
struct insn *code_decode_one(struct elf_file *f, uint64_t vaddr, struct code_function *ret);

/* The same of its first instruction only, where nothing tells how far the function goes (musl has no CFI). */
struct insn *code_decode_entry(struct elf_file *f, uint64_t vaddr, struct code_function *ret);

/*
 * Which of the first four arguments (by bit) the function there reads, as far as it runs straight on from
 * its entry: what it does not read holds whatever the caller left there. 0 when it cannot be decoded.
 */
unsigned int code_args_read(struct elf_file *f, uint64_t vaddr);

#endif
