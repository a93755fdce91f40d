/* SPDX-License-Identifier: MIT */
/* archive_fields: which member of which struct stands in which column. L7 archive. */
#ifndef LMT_ARCHIVE_ARCHIVE_FIELDS_H
#define LMT_ARCHIVE_ARCHIVE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strpool.h"
#include "report/model.h"
#include "row.h"

/* A stack in the file: frames are numbers of frames, innermost first. */
struct stored_stack {
	uint64_t site; /* id */
	const char *frames;
	uint32_t rank; /* among the stacks of its site, the biggest first */
	struct report_stack s;
};

enum field_type {
	FIELD_U64,
	FIELD_U32,
	FIELD_PID,
	FIELD_BOOL,
	FIELD_DOUBLE,
	FIELD_STR,
	FIELD_ENUM,  /* its number */
	FIELD_NAMED, /* an enum by its name */
	FIELD_BITS,  /* 64 bits whose sign means nothing */
};

struct field {
	const char *column;
	enum field_type type;
	size_t offset;
	bool needed;     /* a text that the formats take for granted */
	unsigned int max; /* FIELD_ENUM, FIELD_NAMED: values below it */
	const char *(*name_of)(unsigned int value);
};

/* The fields of one struct in one table, behind its key columns. */
struct part {
	const char *table;
	const char *const *columns; /* keys first, then those of the fields */
	size_t n_keys;
	const struct field *fields;
	size_t n;
};

#define PART_COLUMNS 32

extern const struct part part_process, part_memory, part_runtime, part_function, part_snapshot,
	part_state, part_state_at, part_site, part_site_at, part_frame, part_stack, part_stack_at,
	part_finding, part_evidence, part_census, part_object, part_holder;

/* The fields of obj, in order. */
void part_get(const struct part *p, const void *obj, struct cell *cells);

/* Fills obj; texts go into the pool. False when a value cannot be one of ours. */
bool part_set(const struct part *p, void *obj, const struct cell *cells, struct strpool *pool);

/* Do both hold the same? */
bool part_equal(const struct part *p, const void *a, const void *b);

/* Makes texts of obj live as long as the pool. */
void part_keep(const struct part *p, void *obj, struct strpool *pool);

#endif
