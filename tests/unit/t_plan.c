/* SPDX-License-Identifier: MIT */
/* What is attached for what was resolved, and what is said about what cannot be. */
#include "unit.h"

#include <errno.h>

#include "attach/plan.h"
#include "elfmaker.h"
#include "resolve/file.h"

#define EMULATES_ALL 0x7e /* every enum insn_emulation but EMU_NONE */

static const struct features kernel = { .emulates = EMULATES_ALL };

/* mov rdi, rsi; test rcx, rcx; je +1; ret; ret */
static const uint8_t alloc_code[] = { 0x48, 0x89, 0xf7, 0x48, 0x85, 0xc9, 0x74, 0x01, 0xc3, 0xc3 };
/* push rbp; pop rbp; ret */
static const uint8_t push_code[] = { 0x55, 0x5d, 0xc3 };
/* mov rax, [rdi+0x18]; mov rdi, [rax+0xc8]; jmp far away: as lua_close of 5.3 */
static const uint8_t close_code[] = { 0x48, 0x8b, 0x47, 0x18, 0x48, 0x8b, 0xb8, 0xc8, 0, 0, 0,
				      0xe9, 0, 1, 0, 0 };

struct fixture {
	struct image im;
	struct file file;
	struct resolved r;
	struct plan *plan;
	uint64_t alloc, newstate, close, close_state;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct memfile m;
	struct errmsg err;

	image_init(&f->im);
	f->alloc = image_function(&f->im, "l_alloc", alloc_code, sizeof(alloc_code));
	f->newstate = image_function(&f->im, "lua_newstate", push_code, sizeof(push_code));
	f->close = image_function(&f->im, "lua_close", close_code, sizeof(close_code));
	f->close_state = image_function(&f->im, "close_state", push_code, sizeof(push_code));
	image_finish(&f->im);
	m = memfile_of(f->im.b, sizeof(f->im.b));
	assert_int_equal(elf_open(m.path, &f->file.elf, &err), 0);
	memfile_close(&m);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	plan_free(f->plan);
	code_free(f->file.code);
	elf_free(f->file.elf);
	vec_deinit(&f->r.runtimes);
	vec_deinit(&f->r.allocators);
	vec_deinit(&f->r.states);
	hashmap_deinit(&f->r.state_by_L);
	hashmap_deinit(&f->r.states_of_ud);
	free(f);
	return 0;
}

static void add_allocator(struct fixture *f, const char *name, bool built_in, uint64_t vaddr)
{
	struct allocator a = { .uaddr = 0x7f0000000000 + vaddr, .file = &f->file, .vaddr = vaddr,
			       .module = (char *)"/usr/lib/libx.so", .name = name,
			       .built_in = built_in, .runtime = 1 };

	assert_int_equal(vec_push(&f->r.allocators, a), 0);
}

static void add_state(struct fixture *f, uint32_t allocator, uint64_t ud)
{
	struct resolved_state s = { .L = 0x1000, .G = 0x2000, .runtime = 1,
				    .allocator = allocator, .gc = { .ud = ud } };

	assert_int_equal(resolved_keep_state(&f->r, &s) < 0, 0);
}

/* Lua 5.4 without a layout: nothing but its functions is known. */
static void add_runtime(struct fixture *f)
{
	struct runtime rt = { .id = 1, .family = LMT_FAMILY_PUC, .variant = "puc",
			      .file = &f->file, .module = (char *)"/usr/bin/lua",
			      .bias = 0x7f0000000000 };

	strcpy(rt.version, "5.4.9");
	strcpy(rt.evidence, "no layout fits");
	rt.fn[FUNC_L_ALLOC].vaddr = f->alloc;
	rt.fn[FUNC_LUA_NEWSTATE].vaddr = f->newstate;
	rt.fn[FUNC_LUA_CLOSE].vaddr = f->close;
	rt.fn[FUNC_CLOSE_STATE].vaddr = f->close_state;
	rt.fn[FUNC_LUAC_STEP].why_not = "not found in this build";
	assert_int_equal(vec_push(&f->r.runtimes, rt), 0);
}

static void build(struct fixture *f, const struct features *k)
{
	struct errmsg err;

	plan_free(f->plan);
	f->plan = NULL;
	assert_int_equal(plan_build(&f->r, k, &f->plan, &err), 0);
}

static const struct plan_site *site(const struct fixture *f, const char *name)
{
	vec_each(s, &f->plan->sites)
		if (!strcmp(s->name, name))
			return s;
	return NULL;
}

static const struct plan_function *function(const struct fixture *f, enum func_id id)
{
	vec_each(fn, &f->plan->functions)
		if (fn->id == id)
			return fn;
	return NULL;
}

static bool is_blind_to(const struct fixture *f, const char *text)
{
	vec_each(s, &f->plan->blind_spots)
		if (strstr(*s, text))
			return true;
	return false;
}

static void the_allocator_in_use_is_probed_once(void **state)
{
	struct fixture *f = *state;
	const struct plan_site *s;
	size_t n = 0;

	add_runtime(f);
	add_allocator(f, "l_alloc", true, f->alloc);
	add_state(f, 0, 0);
	build(f, &kernel);
	s = site(f, "l_alloc");
	assert_non_null(s);
	assert_int_equal(s->program, PLAN_ALLOC);
	assert_int_equal(s->probe.kind, LMT_PROBE_ANY);
	assert_int_equal(s->offset, f->alloc + 6);
	assert_true(s->place.emulated);
	assert_int_equal(s->probe.reg_ud, LMT_REG_LOST);
	assert_true(s->probe.flags & LMT_PROBE_PLAIN_REGS);
	assert_false(s->probe.flags &
		     (LMT_PROBE_UD_IS_STATE | LMT_PROBE_MAY_NEST | LMT_PROBE_ARENA));
	vec_each(each, &f->plan->sites)
		n += each->offset == s->offset;
	assert_int_equal(n, 1);
	assert_true(function(f, FUNC_L_ALLOC)->probed);
}

static void births_and_ends_of_states_are_probed_where_it_is_cheap(void **state)
{
	struct fixture *f = *state;
	const struct plan_site *s;

	add_runtime(f);
	build(f, &kernel);
	s = site(f, "lua_newstate");
	assert_non_null(s);
	assert_int_equal(s->program, PLAN_ENTRY);
	assert_int_equal(s->probe.kind, LMT_PROBE_NEWSTATE);
	assert_int_equal(s->probe.reg_ptr, REG_DI);
	assert_int_equal(s->probe.reg_ud, REG_SI);
	/* lua_close is dear here, so the end is seen in close_state. */
	assert_null(site(f, "lua_close"));
	assert_non_null(site(f, "close_state"));
	assert_int_equal(site(f, "close_state")->probe.kind, LMT_PROBE_CLOSE);
	assert_string_equal(function(f, FUNC_LUA_CLOSE)->why_not,
			    "the other end of closing is probed");
}

static void every_function_of_the_family_is_accounted_for(void **state)
{
	struct fixture *f = *state;

	add_runtime(f);
	build(f, &kernel);
	for (int id = 0; id < FUNC_MAX; id++) {
		const struct plan_function *fn = function(f, (enum func_id)id);

		if (func_family((enum func_id)id) == LMT_FAMILY_LUAJIT) {
			assert_null(fn);
			continue;
		}
		assert_non_null(fn);
		/* Probed or with a reason; a function that was not looked for has neither. */
		if (fn->placed)
			assert_true(fn->probed == !fn->why_not);
	}
	assert_string_equal(function(f, FUNC_LUAC_STEP)->why_not, "not found in this build");
	assert_false(function(f, FUNC_L_ALLOC)->probed);
	assert_string_equal(function(f, FUNC_L_ALLOC)->why_not, "no state uses it");
}

static void an_unknown_layout_is_a_blind_spot(void **state)
{
	struct fixture *f = *state;

	add_runtime(f);
	build(f, &kernel);
	assert_true(is_blind_to(f, "states and lines of Lua 5.4.9 in /usr/bin/lua: none is known"));
	assert_int_equal(f->plan->callsites.n, 0);
	assert_int_equal(f->plan->unwind.n, 0);
}

static void allocators_that_cannot_be_probed_are_blind_spots(void **state)
{
	struct fixture *f = *state;

	add_allocator(f, NULL, false, f->alloc);
	add_allocator(f, NULL, false, f->alloc + 1); /* in the middle of a function */
	add_allocator(f, NULL, false, 0);
	f->r.allocators.v[2].file = NULL; /* made at run time */
	build(f, &kernel);
	assert_int_equal(f->plan->sites.n, 1);
	assert_int_equal(f->plan->blind_spots.n, 2);
	assert_true(is_blind_to(f, "cannot be decoded (no unwind entry starts there)"));
	assert_true(is_blind_to(f, "is not in a file, so it cannot be probed"));
	assert_int_equal(strncmp(f->plan->sites.v[0].name, "allocator+0x", 12), 0);
}

static void an_ud_of_its_own_names_the_state(void **state)
{
	struct fixture *f = *state;

	add_allocator(f, NULL, false, f->newstate);
	build(f, &kernel);
	assert_false(f->plan->sites.v[0].probe.flags & LMT_PROBE_UD_IS_STATE); /* nobody uses it */
	add_state(f, 0, 0xa000);
	add_state(f, 0, 0xb000);
	build(f, &kernel);
	assert_true(f->plan->sites.v[0].probe.flags & LMT_PROBE_UD_IS_STATE);
	assert_true(f->plan->sites.v[0].probe.flags & LMT_PROBE_PLAIN_REGS);
	add_state(f, 0, 0xb000); /* shared by two */
	build(f, &kernel);
	assert_false(f->plan->sites.v[0].probe.flags & LMT_PROBE_UD_IS_STATE);
}

static void an_ud_that_is_lost_at_the_site_names_nobody(void **state)
{
	struct fixture *f = *state;

	add_allocator(f, NULL, false, f->alloc);
	add_state(f, 0, 0xa000);
	build(f, &kernel);
	assert_int_equal(f->plan->sites.v[0].probe.reg_ud, LMT_REG_LOST);
	assert_false(f->plan->sites.v[0].probe.flags & LMT_PROBE_UD_IS_STATE);
}

static void a_shared_null_ud_names_nobody(void **state)
{
	struct fixture *f = *state;

	add_allocator(f, NULL, false, f->alloc);
	add_state(f, 0, 0);
	build(f, &kernel);
	assert_false(f->plan->sites.v[0].probe.flags & LMT_PROBE_UD_IS_STATE);
}

static void two_allocators_may_nest(void **state)
{
	struct fixture *f = *state;

	add_allocator(f, "l_alloc", true, f->alloc);
	add_allocator(f, NULL, false, f->newstate);
	add_state(f, 0, 0);
	build(f, &kernel);
	assert_int_equal(f->plan->sites.n, 2);
	assert_true(f->plan->sites.v[0].probe.flags & LMT_PROBE_MAY_NEST);
	assert_true(f->plan->sites.v[1].probe.flags & LMT_PROBE_MAY_NEST);
}

static void an_arena_is_told_by_its_name(void **state)
{
	struct fixture *f = *state;

	add_allocator(f, "lj_alloc_f", true, f->newstate);
	add_state(f, 0, 0xa000);
	build(f, &kernel);
	assert_true(f->plan->sites.v[0].probe.flags & LMT_PROBE_ARENA);
	assert_true(f->plan->sites.v[0].probe.flags & LMT_PROBE_UD_IS_STATE);
}

static void a_kernel_that_emulates_nothing_pays_at_the_entry(void **state)
{
	static const struct features poor = { .emulates = 0 };
	struct fixture *f = *state;

	add_allocator(f, "l_alloc", true, f->alloc);
	add_state(f, 0, 0);
	build(f, &poor);
	assert_int_equal(f->plan->sites.v[0].offset, f->alloc);
	assert_false(f->plan->sites.v[0].place.emulated);
	assert_non_null(f->plan->sites.v[0].place.why);
	assert_int_equal(f->plan->sites.v[0].probe.reg_ud, REG_DI);
}

static void nothing_resolved_gives_an_empty_plan(void **state)
{
	struct fixture *f = *state;

	build(f, &kernel);
	assert_int_equal(f->plan->sites.n, 0);
	assert_int_equal(f->plan->blind_spots.n, 0);
	plan_free(NULL);
}

#define PLAN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAN_TEST(the_allocator_in_use_is_probed_once),
		PLAN_TEST(births_and_ends_of_states_are_probed_where_it_is_cheap),
		PLAN_TEST(every_function_of_the_family_is_accounted_for),
		PLAN_TEST(an_unknown_layout_is_a_blind_spot),
		PLAN_TEST(allocators_that_cannot_be_probed_are_blind_spots),
		PLAN_TEST(an_ud_of_its_own_names_the_state),
		PLAN_TEST(an_ud_that_is_lost_at_the_site_names_nobody),
		PLAN_TEST(a_shared_null_ud_names_nobody),
		PLAN_TEST(two_allocators_may_nest),
		PLAN_TEST(an_arena_is_told_by_its_name),
		PLAN_TEST(a_kernel_that_emulates_nothing_pays_at_the_entry),
		PLAN_TEST(nothing_resolved_gives_an_empty_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
