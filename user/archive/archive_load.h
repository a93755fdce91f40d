/* SPDX-License-Identifier: MIT */
/* archive_load: what the files that load a report share. L7 archive. */
#ifndef LMT_ARCHIVE_ARCHIVE_LOAD_H
#define LMT_ARCHIVE_ARCHIVE_LOAD_H

#include "archive.h"
#include "archive_fields.h"
#include "base/hashmap.h"

#define MAX_ROWS (4u << 20) /* of one table: a file that holds more is not one of ours */

struct loader {
	struct replay *from;
	struct loaded_report *to;
	struct errmsg *err;
	int64_t moment;
	int64_t newest_of_file;
	/* id in the file → position + 1 */
	struct hashmap frame_by_id, finding_by_id, site_by_id;
	vec_of(int64_t) state_ids; /* in the file, by position in report.states */
	struct hashmap state_by_id; /* id in the file → position + 1 in report.states */
};

int load_bad_value(const struct loader *l, const char *table);
int load_out_of_memory(const struct loader *l);

/* Frees sql, which may be NULL; ?1 in it is the moment. */
int load_query(struct loader *l, char *sql, int (*fn)(const struct cell *, size_t, void *));

/* SELECT keys and fields of one table `t`, with what follows. The caller's, or NULL. */
char *load_select(const struct loader *l, const struct part *p, const char *tail);

/* id, identity and newest figures of things up to the moment. */
char *load_select_tracked(const struct loader *l, const struct part *identity,
			  const struct part *at, const char *order);

/* archive_load_sites.c */
int load_sites(struct loader *l);
/* "3 17 4": the frames with these ids become a stack, or are added to the one made last. */
int load_frames(struct loader *l, const char *text, struct report_stack *s);
int load_more_frames(struct loader *l, const char *text, struct report_stack *s);

/* archive_load_findings.c */
int load_findings(struct loader *l);

/* archive_load_census.c */
int load_census(struct loader *l);

/* archive_memory.c */
int load_memory(struct loader *l);

#endif
