/* SPDX-License-Identifier: MIT */
/*
 * Names of PUC Lua 5.1 to 5.5: symbolic execution of the caller's code up to the call, to see
 * what was last put into the register called (ldebug.c: getfuncname, getobjname, findsetreg).
 */
#include "names.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define MAX_CODE (1u << 16) /* instructions looked at before the call */
#define MAX_DEPTH 4         /* moves followed from register to register */
#define MAX_LOCVARS 4096
#define TAG_STRING 4
#define BITRK 0x100 /* an operand is a constant, up to 5.3 */

/*
 * What an instruction does to its register A, a letter for each opcode:
 *	s sets it       - does not      m move          k constant     n sets A…A+B
 *	u upvalue       g global (5.1)  t table[C]      b upvalue[C]   F table.field  I table[int]
 *	S method        c call          i for iterator  j jump
 *	and does not set it, but may call a metamethod:  N newindex  M binary  C close  = < { eq lt le
 * Lower-case 'a' and on are as 's', with a metamethod by number from `first_arith` on.
 */
struct machine {
	uint32_t version; /* from this on */
	const char *ops;
	const char *events; /* metamethods of opcodes, "op name " … */
	bool new_format;    /* 5.4 on: seven bits of opcode */
};

static const struct machine machines[] = {
	{ 501, "mksnugt---sSsssssssssj----sc" "c" "-ssi--ss", "", false },
	{ 502, "mkksnubtN-NsSaaaaaaaalaj=<{-sc" "c" "-ssis-ss-",
	  "13 __add 14 __sub 15 __mul 16 __div 17 __mod 18 __pow 19 __unm 21 __len 22 __concat ", false },
	{ 503, "mkksnubtN-NsSaaaaaaaaaaaaaaslaj=<{-sc" "c" "-ssis-ss-",
	  "13 __add 14 __sub 15 __mul 16 __mod 17 __pow 18 __div 19 __idiv 20 __band 21 __bor 22 __bxor "
	  "23 __shl 24 __shr 25 __unm 26 __bnot 28 __len 29 __concat ", false },
	{ 504, "mss" "kk" "sssn" "u-btIFNNNNsS" "sssssssssssss" "ssssssssssss" "MMM" "aasaa" "C-j"
	  "=<{==<{<{" "-s" "cc" "---" "ss-is-sss-",
	  "49 unm 50 bnot 52 len 53 concat ", true },
	{ 505, "mss" "kk" "sssn" "u-btIFNNNNsS" "sssssssssssss" "ssssssssssss" "MMM" "aasaa" "C-j"
	  "=<{==<{<{" "-s" "cc" "---" "ss-is-sst-s-",
	  "49 unm 50 bnot 52 len 53 concat ", true },
};

/* Order of metamethods in 5.4 (ltm.h), which OP_MMBIN names by number. */
static const char *const events_54[] = {
	"index", "newindex", "gc", "mode", "len", "eq", "add", "sub", "mul", "mod", "pow", "div", "idiv",
	"band", "bor", "bxor", "shl", "shr", "unm", "bnot", "lt", "le", "concat", "call", "close",
};

struct code {
	const struct memread *mem;
	const struct lmt_layout *l;
	const struct machine *m;
	uint64_t proto;
	const uint32_t *ins;
	uint32_t at; /* the calling instruction */
};

static bool get(const struct code *c, struct lmt_cell cell, uint64_t *ret)
{
	return layout_has(cell) && memread_uint(c->mem, c->proto + (uint64_t)cell.off, cell.size, ret);
}

static unsigned int op_of(const struct code *c, uint32_t i)
{
	return c->ins[i] & (c->m->new_format ? 0x7f : 0x3f);
}

static char role_of(const struct code *c, uint32_t i)
{
	unsigned int op = op_of(c, i);

	return op < strlen(c->m->ops) ? c->m->ops[op] : '-';
}

static unsigned int arg_a(const struct code *c, uint32_t i)
{
	return c->ins[i] >> (c->m->new_format ? 7 : 6) & 0xff;
}

static unsigned int arg_b(const struct code *c, uint32_t i)
{
	return c->m->new_format ? c->ins[i] >> 16 & 0xff : c->ins[i] >> 23;
}

static unsigned int arg_c(const struct code *c, uint32_t i)
{
	return c->m->new_format ? c->ins[i] >> 24 : c->ins[i] >> 14 & 0x1ff;
}

static int jump_of(const struct code *c, uint32_t i)
{
	return c->m->new_format ? (int)(c->ins[i] >> 7) - 16777215 : (int)(c->ins[i] >> 14) - 131071;
}

bool puc_string(const struct memread *mem, const struct lmt_layout *l, uint64_t s, char *out,
		size_t size)
{
	uint64_t tag, len = 0, text;
	struct lmt_cell where;

	text = s + (uint64_t)(layout_has(l->S_contents) ? l->S_contents.off : l->size_str.off);
	if (!s || !memread_uint(mem, s + 8, 1, &tag))
		return false;
	where = (tag & 0x3f) == TAG_STRING && layout_has(l->S_shrlen) ? l->S_shrlen : l->S_len;
	if (!memread_uint(mem, s + (uint64_t)where.off, where.size, &len))
		return false;
	if ((tag & 0x3f) != TAG_STRING && l->version >= 505 &&
	    !memread_uint(mem, s + (uint64_t)l->S_contents.off, l->S_contents.size, &text))
		return false;
	if (len >= size)
		len = size - 1;
	if (!memread_exact(mem, text, out, len))
		return false;
	out[len] = '\0';
	return true;
}

static bool constant(const struct code *c, unsigned int i, char *out, size_t size)
{
	uint64_t k, n, s, tag;

	return get(c, c->l->P_k, &k) && get(c, c->l->P_sizek, &n) && i < n &&
	       memread_uint(c->mem, k + 16ull * i + 8, 1, &tag) && (tag & 0xf) == TAG_STRING &&
	       memread_uint(c->mem, k + 16ull * i, 8, &s) && puc_string(c->mem, c->l, s, out, size);
}

static bool upvalue(const struct code *c, unsigned int i, char *out, size_t size)
{
	unsigned int stride = c->l->version < 502 ? 8 : 16;
	uint64_t names, n, s;

	return get(c, c->l->P_upvalues, &names) && get(c, c->l->P_sizeupvalues, &n) && i < n &&
	       memread_uint(c->mem, names + (uint64_t)stride * i, 8, &s) &&
	       puc_string(c->mem, c->l, s, out, size);
}

/* The local variable that lives in the register at the call. */
static bool local(const struct code *c, unsigned int reg, char *out, size_t size)
{
	struct { uint64_t name; int32_t start, end; } var;
	uint64_t vars, n;

	if (!get(c, c->l->P_locvars, &vars) || !get(c, c->l->P_sizelocvars, &n) || n > MAX_LOCVARS)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		if (!memread_exact(c->mem, vars + sizeof(var) * i, &var, sizeof(var)) ||
		    var.start > (int32_t)c->at)
			return false;
		if ((int32_t)c->at < var.end && !reg--)
			return puc_string(c->mem, c->l, var.name, out, size);
	}
	return false;
}

static bool sets(const struct code *c, uint32_t i, unsigned int reg)
{
	unsigned int a = arg_a(c, i);

	switch (role_of(c, i)) {
	case 'n':
		return c->l->version < 502 ? a <= reg && reg <= arg_b(c, i)
					   : a <= reg && reg <= a + arg_b(c, i);
	case 'i':
		return reg >= a + 2;
	case 'c':
		return reg >= a;
	case 'S':
		return reg == a || reg == a + 1;
	case '-': case 'N': case 'M': case 'C': case '=': case '<': case '{': case 'j':
		return false;
	default:
		return reg == a;
	}
}

/* The last instruction before `last` that surely set the register; -1 none. */
static int find_set(const struct code *c, uint32_t last, unsigned int reg)
{
	int found = -1, target = 0;

	for (uint32_t i = 0; i < last; i++) {
		int dest = role_of(c, i) == 'j' ? (int)i + 1 + jump_of(c, i) : 0;

		if (dest > (int)i && dest <= (int)last) {
			if (c->l->version < 502)
				i = (uint32_t)dest - 1; /* 5.1 follows it */
			else if (dest > target)
				target = dest;
		} else if (sets(c, i, reg)) {
			found = (int)i < target ? -1 : (int)i; /* a branch may have skipped it */
		}
	}
	return found;
}

/* An operand that is a constant, or a register that one was loaded into. */
static bool key(const struct code *c, uint32_t i, unsigned int operand, bool is_constant, char *out,
		size_t size)
{
	int set;

	if (is_constant)
		return constant(c, operand, out, size);
	set = find_set(c, i, operand);
	if (set < 0 || role_of(c, (uint32_t)set) != 'k')
		return false;
	return constant(c, c->m->new_format ? c->ins[set] >> 15 : c->ins[set] >> 14, out, size);
}

/* What was put into the register by instruction i. */
static bool value_name(const struct code *c, uint32_t i, char *out, size_t size)
{
	unsigned int operand = arg_c(c, i);
	bool rk = !c->m->new_format && operand & BITRK;

	if (rk)
		operand &= BITRK - 1;
	switch (role_of(c, i)) {
	case 'g':
		return constant(c, c->ins[i] >> 14, out, size);
	case 'u':
		return upvalue(c, arg_b(c, i), out, size);
	case 'b':
		return key(c, i, operand, rk || c->m->new_format, out, size);
	case 't':
		return key(c, i, operand, rk, out, size);
	case 'F':
		return constant(c, operand, out, size);
	case 'S':
		return key(c, i, operand, rk || c->l->version >= 505 || (c->m->new_format && c->ins[i] >> 15 & 1),
			   out, size);
	default:
		return false;
	}
}

static bool object_name(const struct code *c, uint32_t last, unsigned int reg, char *out, size_t size)
{
	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		int i;

		if (local(c, reg, out, size))
			return true;
		i = find_set(c, last, reg);
		if (i < 0)
			return false;
		if (role_of(c, (uint32_t)i) != 'm')
			return value_name(c, (uint32_t)i, out, size);
		if (arg_b(c, (uint32_t)i) >= arg_a(c, (uint32_t)i))
			return false;
		reg = arg_b(c, (uint32_t)i);
		last = (uint32_t)i;
	}
	return false;
}

/* "__index" up to 5.3, "index" since. */
static bool event(const struct code *c, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s%s", c->m->new_format ? "" : "__", name);
	return true;
}

static bool listed_event(const struct code *c, char *out, size_t size)
{
	char want[16], *found;
	const char *list = c->m->events;

	snprintf(want, sizeof(want), "%u ", op_of(c, c->at));
	for (found = strstr(list, want); found; found = strstr(found + 1, want))
		if (found == list || found[-1] == ' ')
			break;
	if (!found)
		return false;
	found += strlen(want);
	snprintf(out, size, "%.*s", (int)strcspn(found, " "), found);
	return true;
}

static bool called_name(const struct code *c, char *out, size_t size)
{
	unsigned int number = arg_c(c, c->at);

	switch (role_of(c, c->at)) {
	case 'c':
		return object_name(c, c->at, arg_a(c, c->at), out, size);
	case 'i':
		if (c->l->version < 502)
			return object_name(c, c->at, arg_a(c, c->at), out, size);
		snprintf(out, size, "for iterator");
		return true;
	case 't': case 'b': case 'F': case 'I': case 'S':
		return c->l->version >= 502 && event(c, "index", out, size);
	case 'N':
		return event(c, "newindex", out, size);
	case 'M':
		return number < sizeof(events_54) / sizeof(events_54[0]) &&
		       event(c, events_54[number], out, size);
	case 'C':
		return event(c, "close", out, size);
	case '=':
		return event(c, "eq", out, size);
	case '<':
		return event(c, "lt", out, size);
	case '{':
		return event(c, "le", out, size);
	case 'a': case 'l':
		return listed_event(c, out, size);
	case 's':
		/* It makes an object and calls nothing: the collector ran, and a finalizer in it. */
		snprintf(out, size, "__gc");
		return c->l->version >= 502;
	default:
		return false;
	}
}

static const struct machine *machine_of(const struct lmt_layout *l)
{
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (machines[i].version == l->version)
			return &machines[i];
	return NULL;
}

/* Behind one instruction at least: both are read from the target, which may hold anything there. */
static bool in_code(uint64_t pc, uint64_t code)
{
	return pc >= code && (pc - code) / 4 >= 1 && (pc - code) / 4 <= MAX_CODE;
}

bool names_puc(const struct memread *mem, const struct lmt_layout *l, uint64_t proto, uint64_t pc,
	       char *name, size_t size)
{
	struct code c = { .mem = mem, .l = l, .m = machine_of(l), .proto = proto };
	auto_free uint32_t *ins = NULL;
	uint64_t code, n;

	if (!c.m || !get(&c, l->P_code, &code) || !get(&c, l->P_sizecode, &n) || !in_code(pc, code) ||
	    (pc - code) / 4 > n)
		return false;
	c.at = (uint32_t)((pc - code) / 4) - 1;
	ins = malloc((c.at + 1) * sizeof(*ins));
	if (!ins || !memread_exact(mem, code, ins, (c.at + 1) * sizeof(*ins)))
		return false;
	c.ins = ins;
	return called_name(&c, name, size) && *name && strcmp(name, "?") != 0;
}

bool names_puc_local(const struct memread *mem, const struct lmt_layout *l, uint64_t proto, uint64_t pc,
		     unsigned int reg, char *name, size_t size)
{
	struct code c = { .mem = mem, .l = l, .proto = proto };
	uint64_t code;

	if (!get(&c, l->P_code, &code) || !in_code(pc, code))
		return false;
	c.at = (uint32_t)((pc - code) / 4) - 1;
	return local(&c, reg, name, size);
}

bool names_puc_calls(const struct memread *mem, const struct lmt_layout *l, uint64_t proto, uint64_t pc)
{
	struct code c = { .mem = mem, .l = l, .m = machine_of(l), .proto = proto };
	uint32_t ins;

	c.ins = &ins;
	return !c.m || !memread_exact(mem, pc - 4, &ins, 4) || role_of(&c, 0) == 'c';
}
