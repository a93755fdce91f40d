/* SPDX-License-Identifier: MIT */
/* fmt, err, escape, jsonw: numbers and hostile text become harmless, readable text. */
#include "unit.h"

#include <errno.h>

#include "base/err.h"
#include "base/escape.h"
#include "base/fmt.h"
#include "report/jsonw.h"

static void sizes_counts_and_times_have_one_spelling(void **state)
{
	struct fmtbuf b;

	(void)state;
	assert_string_equal(fmt_bytes(&b, 0), "0 B");
	assert_string_equal(fmt_bytes(&b, 1023), "1023 B");
	assert_string_equal(fmt_bytes(&b, 1024), "1.0 KiB");
	assert_string_equal(fmt_bytes(&b, 1536 << 10), "1.5 MiB");
	assert_string_equal(fmt_bytes(&b, UINT64_MAX), "16777216.0 TiB");
	assert_string_equal(fmt_signed_bytes(&b, -2048), "-2.0 KiB");
	assert_string_equal(fmt_signed_bytes(&b, 5), "+5 B");
	assert_string_equal(fmt_signed_bytes(&b, INT64_MIN), "-8388608.0 TiB");
	assert_string_equal(fmt_count(&b, 0), "0");
	assert_string_equal(fmt_count(&b, 999), "999");
	assert_string_equal(fmt_count(&b, 1000), "1,000");
	assert_string_equal(fmt_count(&b, UINT64_MAX), "18,446,744,073,709,551,615");
	assert_string_equal(fmt_seconds(&b, 5040000000), "5.0 s");
	assert_string_equal(fmt_rfc3339(&b, 1700000000000000001), "2023-11-14T22:13:20.000000001Z");
}

static void numbers_are_parsed_whole_or_refused(void **state)
{
	static const struct { const char *s; uint64_t max; bool ok; uint64_t v; } rows[] = {
		{ "0", 10, true, 0 }, { "10", 10, true, 10 }, { "11", 10, false, 0 },
		{ "1k", 1024, true, 1024 }, { "1K", 1024, true, 1024 }, { "2k", 2047, false, 0 },
		{ "3M", UINT64_MAX, true, 3u << 20 }, { "1G", UINT64_MAX, true, 1u << 30 },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, false, 0 },
		{ "17179869184G", UINT64_MAX, false, 0 }, /* 2^34 GiB: one bit too many */
		{ "", 10, false, 0 }, { "-1", 10, false, 0 }, { "+1", 10, false, 0 },
		{ " 1", 10, false, 0 }, { "1 ", 10, false, 0 }, { "1kk", UINT64_MAX, false, 0 },
		{ "0x10", 100, false, 0 }, { "1e3", 10000, false, 0 }, { "k", 10, false, 0 },
		{ "1.5", 10, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint64_t v = 77;

		if (fmt_parse_u64(rows[i].s, rows[i].max, &v) != rows[i].ok)
			fail_msg("'%s' up to %llu", rows[i].s, (unsigned long long)rows[i].max);
		assert_int_equal(v, rows[i].ok ? rows[i].v : 77);
	}
}

static void errors_carry_their_text_as_far_as_it_fits(void **state)
{
	struct errmsg err;
	char big[600];

	(void)state;
	assert_int_equal(errmsg_set(&err, -EACCES, "cannot open '%s'", "x"), -EACCES);
	assert_string_equal(err.text, "cannot open 'x'");
	assert_int_equal(errmsg_set(NULL, -EIO, "x"), -EIO);
	memset(big, 'a', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	errmsg_set(&err, -EIO, "%s", big);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static const struct { const char *in, *term, *json; } texts[] = {
	{ "", "", "" },
	{ "@app.lua:12", "@app.lua:12", "@app.lua:12" },
	{ "a\"b\\c", "a\"b\\\\c", "a\\\"b\\\\c" },
	{ "a\nb\tc\r", "a\\x0ab\\x09c\\x0d", "a\\u000ab\\u0009c\\u000d" },
	{ "\x1b[31mred\x7f", "\\x1b[31mred\\x7f", "\\u001b[31mred\\u007f" },
	{ "</script>", "</script>", "\\u003c/script>" },
	{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
	  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80" },
	/* not UTF-8: a lone continuation, a cut sequence, overlong, a surrogate, above 10ffff */
	{ "\x80", "\\x80", "\\u0080" },
	{ "x\xc3", "x\\xc3", "x\\u00c3" },
	{ "\xc0\xaf", "\\xc0\\xaf", "\\u00c0\\u00af" },
	{ "\xe0\x80\xaf", "\\xe0\\x80\\xaf", "\\u00e0\\u0080\\u00af" },
	{ "\xed\xa0\x80", "\\xed\\xa0\\x80", "\\u00ed\\u00a0\\u0080" },
	{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\u00f4\\u0090\\u0080\\u0080" },
	{ "\xff\xfe", "\\xff\\xfe", "\\u00ff\\u00fe" },
	/* what a terminal obeys without showing it: C1 controls, bidi overrides and isolates */
	{ "\xc2\x9b" "2J", "\\xc2\\x9b2J", "\\u009b2J" },
	{ "a\xe2\x80\xae" "b", "a\\xe2\\x80\\xaeb", "a\\u202eb" },
	{ "a\xe2\x81\xa6" "b", "a\\xe2\\x81\\xa6b", "a\\u2066b" },
	{ "a\xe2\x80\xa8" "b", "a\\xe2\\x80\\xa8b", "a\\u2028b" },
};

static void hostile_text_is_escaped(void **state)
{
	char out[256];

	(void)state;
	for (size_t i = 0; i < N_OF(texts); i++) {
		assert_int_equal(escape_term(out, sizeof(out), texts[i].in), strlen(texts[i].term));
		assert_string_equal(out, texts[i].term);
		assert_int_equal(escape_json(out, sizeof(out), texts[i].in), strlen(texts[i].json));
		assert_string_equal(out, texts[i].json);
	}
}

/* Valid UTF-8 without a control byte: what both escapes promise, whatever went in. */
static void assert_clean(const char *s)
{
	while (*s) {
		size_t n = escape_utf8_len(s);

		assert_true(n > 0);
		assert_true((unsigned char)*s >= 0x20 && *s != 0x7f);
		s += n;
	}
}

static void any_bytes_into_any_buffer_stay_clean_and_inside(void **state)
{
	uint32_t seed = 12345;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		char in[40], out[64];
		size_t size = round % 50, n;

		for (size_t i = 0; i < sizeof(in) - 1; i++) {
			seed = seed * 1664525 + 1013904223;
			in[i] = (char)((seed >> 24) | (round % 2 ? 0x80 : 0));
			in[i] = in[i] ? in[i] : 1;
		}
		in[sizeof(in) - 1] = '\0';
		memset(out, 0x55, sizeof(out));
		n = round % 3 ? escape_term(out, size, in) : escape_json(out, size, in);
		assert_true(size == 0 ? n == 0 : n < size);
		for (size_t i = size; i < sizeof(out); i++)
			assert_int_equal(out[i], 0x55);
		if (size) {
			assert_int_equal(strlen(out), n);
			assert_clean(out);
		}
	}
}

static void an_escape_is_never_cut_in_two(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(escape_term(out, 5, "\x01\x01"), 4);
	assert_string_equal(out, "\\x01");
	assert_int_equal(escape_term(out, 8, "\x01\x01"), 4);
	assert_int_equal(escape_json(out, 6, "\x01"), 0);
	assert_int_equal(escape_term(out, 3, "\xe2\x82\xac"), 0);
	assert_string_equal(out, "");
}

/* The line that jsonw wrote for one call of `fill`. */
static char *line_of(void (*fill)(struct jsonw *w))
{
	struct jsonw w;
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	jsonw_begin(&w, f);
	fill(&w);
	jsonw_end(&w);
	fclose(f);
	return text;
}

static void fill_all(struct jsonw *w)
{
	jsonw_str(w, "s", "a\"\n");
	jsonw_str_known(w, "none", NULL);
	jsonw_str_known(w, "empty", "");
	jsonw_u64(w, "u", UINT64_MAX);
	jsonw_array(w, "a");
	jsonw_object(w, NULL);
	jsonw_bool(w, "b", true);
	jsonw_close(w, '}');
	jsonw_object(w, NULL);
	jsonw_close(w, '}');
	jsonw_u64(w, NULL, 1);
	jsonw_close(w, ']');
	jsonw_double(w, "d", 1.0 / 3);
	jsonw_double(w, "nan", 0.0 / 0.0);
	jsonw_double(w, "inf", 1e308 * 10);
	jsonw_addr(w, "p", 0x7fff00000000);
}

static void json_has_its_commas_and_brackets(void **state)
{
	char *text = line_of(fill_all);

	(void)state;
	assert_string_equal(text,
			    "{\"s\":\"a\\\"\\u000a\",\"u\":18446744073709551615,"
			    "\"a\":[{\"b\":true},{},1],\"d\":0.333,\"nan\":0.000,\"inf\":0.000,"
			    "\"p\":\"0x7fff00000000\"}\n");
	free(text);
}

#define LONG_TEXT 100000

static void fill_long(struct jsonw *w)
{
	char *s = malloc(LONG_TEXT + 1);

	memset(s, 1, LONG_TEXT);
	s[LONG_TEXT] = '\0';
	jsonw_str(w, "s", s);
	free(s);
}

static void a_very_long_string_of_control_bytes_is_whole(void **state)
{
	char *text = line_of(fill_long);

	(void)state;
	assert_int_equal(strlen(text), strlen("{\"s\":\"\"}\n") + 6 * LONG_TEXT);
	assert_string_equal(text + strlen(text) - 9, "\\u0001\"}\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_counts_and_times_have_one_spelling),
		cmocka_unit_test(numbers_are_parsed_whole_or_refused),
		cmocka_unit_test(errors_carry_their_text_as_far_as_it_fits),
		cmocka_unit_test(hostile_text_is_escaped),
		cmocka_unit_test(any_bytes_into_any_buffer_stay_clean_and_inside),
		cmocka_unit_test(an_escape_is_never_cut_in_two),
		cmocka_unit_test(json_has_its_commas_and_brackets),
		cmocka_unit_test(a_very_long_string_of_control_bytes_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
