/* SPDX-License-Identifier: MIT */
/*
 * xml: target text inside SVG and HTML. L6 report.
 */
#ifndef LMT_REPORT_XML_H
#define LMT_REPORT_XML_H

#include <stdio.h>

/* Text of a target, for an element or a quoted attribute; control characters become \xNN. */
void xml_put(const char *s, FILE *out);

/* The same for text that was escaped already; len bytes. */
void xml_put_escaped(const char *s, size_t len, FILE *out);

/* A JSON string, quotes included, that can stand inside a script element. */
void xml_put_json(const char *s, FILE *out);

#endif
