/* SPDX-License-Identifier: MIT */
/* Writers of stacks on a made-up report: folded, SVG, HTML, pprof; nothing of a target gets out. */
#include "unit.h"

#include <zlib.h>

#include "report/flame.h"
#include "report/pbw.h"

/*
 * main chunk a.lua:9 → work a.lua:5 (twice, other callee) → [C] string.rep; one site without a
 * whole stack, one without Lua.
 */
static const struct report_frame frames[] = {
	{ .lua = "@/srv/a.lua:9", .name = "main chunk" },
	{ .lua = "@/srv/a.lua:5", .name = "work", .line_defined = 4 },
	{ .name = "rep", .module = "/usr/bin/lua", .offset = 0x1234 },
	{ .lua = "[string \"</script><b>\"]:1", .jit = true, .line_defined = 1 },
	{ .truncated = true },
};
static const uint32_t stack_frames[] = { 2, 1, 0, 3, 1, 0, 4 };

static void build(struct report *r)
{
	static const struct report_process process = { .pid = 7, .comm = "a;b", .exe = "/usr/bin/lua" };
	static const struct report_stack stacks[] = {
		{ .first = 0,
		  .n = 3,
		  .samples = 2,
		  .live_bytes = 600,
		  .live_blocks = 6,
		  .allocs = 60,
		  .alloc_bytes = 6000 },
		{ .first = 3,
		  .n = 4,
		  .samples = 1,
		  .live_bytes = 300,
		  .live_blocks = 3,
		  .allocs = 30,
		  .alloc_bytes = 3000 },
	};
	struct report_site site = { .pid = 7, .state = 1, .kind = "string", .frame = frames[1],
				    .live_bytes = 900, .live_blocks = 9, .allocs = 90,
				    .alloc_bytes = 9000, .n_stacks = 2 };

	*r = (struct report){ .last = true, .sample_bytes = 1000, .active = true };
	assert_int_equal(vec_push(&r->processes, process), 0);
	for (size_t i = 0; i < N_OF(frames); i++)
		assert_int_equal(vec_push(&r->frames, frames[i]), 0);
	for (size_t i = 0; i < N_OF(stack_frames); i++)
		assert_int_equal(vec_push(&r->stack_frames, stack_frames[i]), 0);
	for (size_t i = 0; i < N_OF(stacks); i++)
		assert_int_equal(vec_push(&r->stacks, stacks[i]), 0);
	assert_int_equal(vec_push(&r->sites, site), 0);
	site = (struct report_site){ .pid = 7, .state = 1, .kind = "table", .live_bytes = 50,
				     .live_blocks = 1, .allocs = 1, .alloc_bytes = 50 };
	assert_int_equal(vec_push(&r->sites, site), 0);
	site.frame = (struct report_frame){ .lua = "@/srv/a.lua:70" };
	assert_int_equal(vec_push(&r->sites, site), 0);
}

static struct flame *tree_of(const struct report *r)
{
	struct flame *f;

	assert_int_equal(flame_new(&f), 0);
	assert_int_equal(flame_add(f, r, false), 0);
	flame_finish(f);
	return f;
}

static void folded_has_a_line_for_each_stack(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct report r;
	struct flame *f;

	(void)state;
	build(&r);
	f = tree_of(&r);
	folded_write(f, METRIC_INUSE_SPACE, out);
	fclose(out);
	assert_string_equal(text,
		"a:b;main chunk /srv/a.lua:9;work /srv/a.lua:5;[C] rep 600\n"
		"a:b;[stack goes on];main chunk /srv/a.lua:9;work /srv/a.lua:5;"
		"[string \"</script><b>\"]:1 300\n"
		"a:b;[no Lua code on the stack] 50\n"
		"a:b;/srv/a.lua:70 50\n");
	free(text);
	flame_free(f);
	report_deinit(&r);
}

static void the_tree_sums_up(void **state)
{
	struct report r;
	struct flame *f;

	(void)state;
	build(&r);
	f = tree_of(&r);
	assert_int_equal(f->nodes.v[0].total[METRIC_INUSE_SPACE], 1000);
	assert_int_equal(f->nodes.v[0].total[METRIC_INUSE_OBJECTS], 11);
	assert_int_equal(f->nodes.v[0].total[METRIC_ALLOC_SPACE], 9100);
	assert_int_equal(f->nodes.v[0].total[METRIC_ALLOC_OBJECTS], 92);
	vec_each(n, &f->nodes) {
		uint64_t children = n->self[METRIC_INUSE_SPACE];

		for (uint32_t c = n->first_child; c; c = f->nodes.v[c].next)
			children += f->nodes.v[c].total[METRIC_INUSE_SPACE];
		assert_int_equal(children, n->total[METRIC_INUSE_SPACE]);
	}
	flame_free(f);
	report_deinit(&r);
}

static void an_earlier_report_is_the_base_of_a_comparison(void **state)
{
	struct report r;
	struct flame *f;

	(void)state;
	build(&r);
	r.end_realtime_ns = 5;
	assert_int_equal(flame_new(&f), 0);
	assert_int_equal(flame_add(f, &r, true), 0);
	r.stacks.v[0].live_bytes = 800;
	assert_int_equal(flame_add(f, &r, false), 0);
	flame_finish(f);
	assert_int_equal(f->base_realtime_ns, 5);
	assert_int_equal(f->samples.v[0].base[METRIC_INUSE_SPACE], 600);
	assert_int_equal(f->samples.v[0].now[METRIC_INUSE_SPACE], 800);
	assert_int_equal(f->nodes.v[0].total[METRIC_INUSE_SPACE], 1200);
	flame_free(f);
	report_deinit(&r);
}

static void pages_hold_names_as_text_only(void **state)
{
	struct report r;
	struct flame *f;

	(void)state;
	build(&r);
	f = tree_of(&r);
	for (int html = 0; html < 2; html++) {
		char *text = NULL;
		size_t size;
		FILE *out = open_memstream(&text, &size);

		if (html)
			html_write(f, &r, METRIC_INUSE_SPACE, "0123", out);
		else
			svg_write(f, &r, METRIC_INUSE_SPACE, out);
		fclose(out);
		assert_null(strstr(text, "</script><b>"));
		assert_null(strstr(text, "<b>\""));
		assert_non_null(strstr(text, html ? "\\u003c/script\\u003e\\u003cb\\u003e"
						  : "&lt;/script&gt;&lt;b&gt;"));
		assert_non_null(strstr(text, html ? "script-src 'nonce-0123'" : "<svg xmlns="));
		free(text);
	}
	flame_free(f);
	report_deinit(&r);
}

static void a_profile_is_gzip_and_not_empty(void **state)
{
	unsigned char packed[8192], plain[65536];
	struct memfile file = memfile_of("", 0);
	FILE *out = fopen(file.path, "w+");
	z_stream z = { .next_out = plain, .avail_out = sizeof(plain) };
	struct report r;

	(void)state;
	build(&r);
	assert_non_null(out);
	assert_int_equal(pprof_write(&r, out), 0);
	rewind(out);
	z.next_in = packed;
	z.avail_in = (uInt)fread(packed, 1, sizeof(packed), out);
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(plain[0], 1 << 3 | 2); /* sample_type first */
	assert_non_null(memmem(plain, z.total_out, "inuse_space", 11));
	assert_non_null(memmem(plain, z.total_out, "/srv/a.lua", 10));
	inflateEnd(&z);
	fclose(out);
	memfile_close(&file);
	report_deinit(&r);
}

static void varints_and_lengths(void **state)
{
	static const uint8_t want[] = { 0x08, 0x96, 0x01, 0x12, 0x03, 'a', 'b',
					'c',  0x1a, 0x03, 0x01, 0xac, 0x02 };
	struct pbw w = { .rc = 0 };

	(void)state;
	pbw_u64(&w, 1, 150);
	pbw_u64(&w, 9, 0); /* a default is not written */
	pbw_str(&w, 2, "abc");
	pbw_packed(&w, 3, (const uint64_t[]){ 1, 300 }, 2);
	assert_int_equal(w.bytes.n, sizeof(want));
	assert_memory_equal(w.bytes.v, want, sizeof(want));
	pbw_deinit(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folded_has_a_line_for_each_stack),
		cmocka_unit_test(the_tree_sums_up),
		cmocka_unit_test(an_earlier_report_is_the_base_of_a_comparison),
		cmocka_unit_test(pages_hold_names_as_text_only),
		cmocka_unit_test(a_profile_is_gzip_and_not_empty),
		cmocka_unit_test(varints_and_lengths),
	};

	return cmocka_run_group_tests_name("exports", tests, NULL, NULL);
}
