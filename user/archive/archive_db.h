/* SPDX-License-Identifier: MIT */
/* archive_db: what the files that save a report share. L7 archive. */
#ifndef LMT_ARCHIVE_ARCHIVE_DB_H
#define LMT_ARCHIVE_ARCHIVE_DB_H

#include "archive.h"
#include "archive_fields.h"
#include "base/hashmap.h"

/* One state, site or stack, as it was last saved. Its id in the file is its position + 1. */
struct item {
	void *last;
	int64_t seen; /* the moment when it was last there */
	bool present;
};

/* All things of one kind that the file knows. */
struct tracked {
	const struct part *identity, *at;
	size_t size; /* of the struct */
	struct hashmap by_key;
	vec_of(struct item) items;
	uint64_t left_out; /* of this moment: no room */
};

/* A finding as it was last saved. Its id in the file is its position + 1. */
struct saved_finding {
	uint64_t content; /* hash: it grows in place */
	int64_t seen;
	bool withdrawn;
};

struct archive {
	struct store *store;
	struct strpool *strings;
	int64_t moment;  /* id of the snapshot */
	int64_t events;
	bool census_due; /* one is not in the file yet */
	bool rewrite;    /* what was saved last is not in the file: save everything again */
	struct tracked states, sites, stacks;
	struct hashmap memory_by_pid; /* → position + 1 in memory */
	vec_of(struct memory_point) memory; /* as it was saved last */
	struct hashmap runtimes; /* pid and runtime that are saved */
	struct hashmap blind_spots; /* text → id */
	uint64_t n_blind_spots;
	uint64_t lost[LMT_STAT_MAX];
	struct hashmap frames;   /* content → id */
	struct hashmap findings; /* identity → position + 1 */
	vec_of(struct saved_finding) saved_findings;
};

/* A row of a part: keys, then the fields of obj. */
int archive_put_row(struct archive *a, const struct part *p, const struct cell *keys,
		    const void *obj);

/*
 * Saves what is new about one thing; position_ret (may be NULL): its id - 1, or -1 when there is no
 * room for it.
 */
int archive_track(struct archive *a, struct tracked *t, const char *key, const void *obj,
		  long *position_ret);

/* archive_stacks.c: those of one site. ids: of the report's frames. */
int archive_save_stacks(struct archive *a, const struct report *r, const struct report_site *s,
			long site, const int64_t *ids);
int64_t *archive_frame_ids(struct archive *a, const struct report *r);

/* archive_memory.c: of each process, if it has changed. */
int archive_save_memory(struct archive *a, const struct report *r);

/* archive_findings.c: all that are known at this moment. */
int archive_save_findings(struct archive *a, const struct report *r);

/* Id of the frame, saved when it is new; -ENOMEM. One of which nothing is known has one too. */
int64_t archive_frame_id(struct archive *a, const struct report_frame *f);

#endif
