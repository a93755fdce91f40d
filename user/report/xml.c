/* SPDX-License-Identifier: MIT */
#include "xml.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/escape.h"

static void put_char(char c, FILE *out)
{
	switch (c) {
	case '&':
		fputs("&amp;", out);
		break;
	case '<':
		fputs("&lt;", out);
		break;
	case '>':
		fputs("&gt;", out);
		break;
	case '"':
		fputs("&quot;", out);
		break;
	case '\'':
		fputs("&#39;", out);
		break;
	default:
		putc(c, out);
	}
}

void xml_put(const char *s, FILE *out)
{
	size_t size = strlen(s) * 6 + 1;
	auto_free char *text = malloc(size);

	if (!text)
		return;
	xml_put_escaped(text, escape_term(text, size, s), out);
}

void xml_put_escaped(const char *s, size_t len, FILE *out)
{
	for (size_t i = 0; i < len; i++)
		put_char(s[i], out);
}

/* No '<' can close the element or open a comment, and no entity can be meant. */
void xml_put_json(const char *s, FILE *out)
{
	size_t size = strlen(s) * 6 + 1;
	auto_free char *text = malloc(size);

	putc('"', out);
	if (text)
		escape_json(text, size, s);
	for (const char *c = text; c && *c; c++) {
		if (*c == '<' || *c == '>' || *c == '&')
			fprintf(out, "\\u%04x", *c);
		else
			putc(*c, out);
	}
	putc('"', out);
}
