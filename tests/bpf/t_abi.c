/* SPDX-License-Identifier: MIT */
/*
 * gcc's user space and clang's BPF side agree on every struct of the contract: names, sizes and
 * offsets of the members, read back from this program's DWARF and from the BPF object's BTF.
 */
#include "../unit/unit.h"

#include <bpf/btf.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>

#include "block.h"
#include "config.h"
#include "event.h"
#include "find.h"
#include "layout.h"

/* Named here, so that gcc describes them; the last test finds out when one is missing. */
#define ABI_STRUCTS(X)                                                                          \
	X(lmt_block) X(lmt_bucket) X(lmt_state) X(lmt_site) X(lmt_probe) X(lmt_callsite)        \
	X(lmt_unwind) X(lmt_trace) X(lmt_proc) X(lmt_program) X(lmt_event) X(lmt_config)        \
	X(lmt_cell) X(lmt_hot) X(lmt_layout) X(lmt_finding) X(lmt_memory) X(lmt_memory_part)    \
	X(lmt_range) X(lmt_ranges) X(lmt_stack_event) X(lmt_frame) X(lmt_native)             \
	X(lmt_free_note) X(lmt_label)

#define USE(name) struct name name##_described;
struct {
	ABI_STRUCTS(USE)
} abi_structs;

#define NAME(name) #name,
static const char *const names[] = { ABI_STRUCTS(NAME) };

struct fixture {
	struct btf *btf;
	Dwarf *dw;
	int fd;
};

/* The BPF object of the same build: this is DIR/tests/bpf/t_abi, that DIR/bpf/luamemtrace.o. */
static int setup(void **state)
{
	static struct fixture f;
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);

	assert_true(n > 0);
	path[n] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = '\0';
	strcat(path, "/bpf/luamemtrace.o");
	f.btf = btf__parse(path, NULL);
	assert_non_null(f.btf);
	f.fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	f.dw = dwarf_begin(f.fd, DWARF_C_READ);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	btf__free(f->btf);
	dwarf_end(f->dw);
	close(f->fd);
	return 0;
}

static uint64_t attribute(Dwarf_Die *die, unsigned int name)
{
	Dwarf_Attribute attr;
	Dwarf_Word v = 0;

	return dwarf_formudata(dwarf_attr(die, name, &attr), &v) ? 0 : v;
}

static bool find_in_unit(Dwarf_Die *unit, const char *name, Dwarf_Die *ret)
{
	if (dwarf_child(unit, ret))
		return false;
	do {
		const char *n = dwarf_diename(ret);

		if (dwarf_tag(ret) == DW_TAG_structure_type && n && !strcmp(n, name) &&
		    dwarf_haschildren(ret))
			return true;
	} while (!dwarf_siblingof(ret, ret));
	return false;
}

static bool find_in_dwarf(Dwarf *dw, const char *name, Dwarf_Die *ret)
{
	Dwarf_Off at = 0, next;
	Dwarf_Die unit;
	size_t header;

	for (; !dwarf_nextcu(dw, at, &next, &header, NULL, NULL, NULL); at = next)
		if (dwarf_offdie(dw, at + header, &unit) && find_in_unit(&unit, name, ret))
			return true;
	return false;
}

/* Width of a member's type; arrays count whole. */
static uint64_t dwarf_size(Dwarf_Die *member)
{
	Dwarf_Attribute attr;
	Dwarf_Die type;
	Dwarf_Word size = 0;

	assert_non_null(dwarf_formref_die(dwarf_attr(member, DW_AT_type, &attr), &type));
	assert_int_equal(dwarf_aggregate_size(&type, &size), 0);
	return size;
}

static void compare(struct fixture *f, const char *name)
{
	const char *ours;
	int id = btf__find_by_name_kind(f->btf, name, BTF_KIND_STRUCT);
	const struct btf_type *t = id > 0 ? btf__type_by_id(f->btf, (uint32_t)id) : NULL;
	const struct btf_member *m;
	Dwarf_Die die, member;
	uint32_t i = 0;

	if (!t)
		fail_msg("the BPF side knows no struct %s", name);
	if (!find_in_dwarf(f->dw, name, &die))
		fail_msg("user space knows no struct %s", name);
	assert_int_equal(t->size, attribute(&die, DW_AT_byte_size));
	m = btf_members(t);
	assert_int_equal(dwarf_child(&die, &member), 0);
	do {
		const char *theirs;

		if (dwarf_tag(&member) != DW_TAG_member)
			continue;
		if (i == btf_vlen(t))
			fail_msg("%s.%s is unknown to the BPF side", name, dwarf_diename(&member));
		theirs = btf__name_by_offset(f->btf, m[i].name_off);
		ours = dwarf_diename(&member);
		assert_string_equal(theirs, ours ? ours : ""); /* a union in it has no name */
		if (btf_member_bit_offset(t, i) != 8 * attribute(&member, DW_AT_data_member_location) ||
		    (uint64_t)btf__resolve_size(f->btf, m[i].type) != dwarf_size(&member))
			fail_msg("%s.%s differs", name, theirs);
		i++;
	} while (!dwarf_siblingof(&member, &member));
	assert_int_equal(i, btf_vlen(t));
}

static void both_compilers_lay_out_the_contract_alike(void **state)
{
	struct fixture *f = *state;
	Dwarf_Die die;

	memset(&abi_structs, 0, sizeof(abi_structs)); /* used, hence described */
	if (!f->dw || !find_in_dwarf(f->dw, "lmt_block", &die)) {
		print_message("# SKIP: built without -g, so there is no DWARF to compare\n");
		skip();
	}
	for (size_t i = 0; i < N_OF(names); i++)
		compare(f, names[i]);
}

static void no_struct_of_the_contract_is_forgotten_here(void **state)
{
	struct fixture *f = *state;
	size_t found = 0;

	for (uint32_t id = 1; id < btf__type_cnt(f->btf); id++) {
		const struct btf_type *t = btf__type_by_id(f->btf, id);
		const char *name = btf__name_by_offset(f->btf, t->name_off);
		bool known = false;

		if (!btf_is_struct(t) || strncmp(name, "lmt_", 4))
			continue;
		for (size_t i = 0; i < N_OF(names); i++)
			known |= !strcmp(names[i], name);
		if (!known)
			fail_msg("add struct %s to ABI_STRUCTS", name);
		found++;
	}
	assert_int_equal(found, N_OF(names));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_compilers_lay_out_the_contract_alike),
		cmocka_unit_test(no_struct_of_the_contract_is_forgotten_here),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
