/* SPDX-License-Identifier: MIT */
/* What goes when there is no room: old details first, then every second old moment. */
#include <inttypes.h>
#include <stdio.h>

#include "base/fmt.h"
#include "store_db.h"

#define KEEP_MOMENTS 8 /* of which the newest details are not given up */

/*
 * A row of X_at holds until the next one of its thing. One that is not the newest up to `snapshot`
 * says nothing about that moment or later ones.
 */
static void drop_superseded(struct store *s, const char *at, const char *id, int64_t snapshot)
{
	char sql[400];

	snprintf(sql, sizeof(sql),
		 "DELETE FROM %s WHERE snapshot < %" PRId64 " AND EXISTS (SELECT 1 FROM %s n WHERE"
		 " n.%s = %s.%s AND n.snapshot > %s.snapshot AND n.snapshot <= %" PRId64 ")",
		 at, snapshot, at, id, at, id, at, snapshot);
	store_run(s, sql);
}

/* The first one stays: it is what the last is compared with. */
static void drop_censuses(struct store *s, int64_t snapshot)
{
	static const char *const tables[] = { "object", "holder", "census" };
	char sql[300];

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		snprintf(sql, sizeof(sql),
			 "DELETE FROM %s WHERE snapshot < %" PRId64 " AND snapshot NOT IN ((SELECT"
			 " max(snapshot) FROM census), (SELECT min(snapshot) FROM census))",
			 tables[i], snapshot);
		store_run(s, sql);
	}
}

static void drop_detail_before(struct store *s, int64_t snapshot)
{
	char sql[300];

	drop_superseded(s, "stack_at", "stack", snapshot);
	drop_superseded(s, "site_at", "site", snapshot);
	drop_superseded(s, "memory", "pid", snapshot);
	drop_censuses(s, snapshot);
	snprintf(sql, sizeof(sql),
		 "UPDATE snapshot SET detail = 0 WHERE id < %" PRId64 " AND detail",
		 snapshot);
	store_run(s, sql);
	store_run(s, "INSERT OR REPLACE INTO meta SELECT 'detail_since_ns', min(time_ns)"
		  " FROM snapshot WHERE detail");
}

static void drop_moments_where(struct store *s, const char *which)
{
	char sql[600];

	snprintf(sql, sizeof(sql),
		 "DELETE FROM state_at WHERE snapshot IN (SELECT id FROM snapshot WHERE %s) AND EXISTS"
		 " (SELECT 1 FROM state_at n WHERE n.state = state_at.state AND n.snapshot >"
		 " state_at.snapshot);", which);
	store_run(s, sql);
	snprintf(sql, sizeof(sql),
		 "DELETE FROM lost WHERE snapshot IN (SELECT id FROM snapshot WHERE %s) AND EXISTS"
		 " (SELECT 1 FROM lost n WHERE n.cause = lost.cause AND n.snapshot > lost.snapshot);"
		 "DELETE FROM snapshot WHERE %s", which, which);
	store_run(s, sql);
}

/* Halves the resolution of what has no details any more; its ends stay. */
static void thin_summary(struct store *s)
{
	char which[128];

	s->stride *= 2;
	snprintf(which, sizeof(which), "NOT detail AND id %% %u <> 0 AND id > 1", s->stride);
	drop_moments_where(s, which);
}

/* In memory only the window is kept, except for what still holds. */
static int keep_window(struct store *s)
{
	int64_t newest = store_number(s, "SELECT max(time_ns) FROM snapshot"), first;
	char sql[128], which[64];

	if (newest < 0 || (uint64_t)newest - s->pruned_ns < s->cfg.window_ns / 8)
		return 0;
	s->pruned_ns = (uint64_t)newest;
	snprintf(sql, sizeof(sql), "SELECT min(id) FROM snapshot WHERE time_ns >= %" PRId64,
		 newest - (int64_t)s->cfg.window_ns);
	first = store_number(s, sql);
	store_run(s, "BEGIN");
	drop_detail_before(s, first);
	drop_superseded(s, "state_at", "state", first);
	snprintf(which, sizeof(which), "id < %" PRId64, first);
	drop_moments_where(s, which);
	return store_run(s, "COMMIT");
}

/* Pruning rewrites most pages, and they stand in the log until it is over. */
static bool has_room(struct store *s)
{
	return store_used(s) < s->cfg.max_bytes / 16 * 7;
}

int store_prune(struct store *s)
{
	if (!s->rc && !s->path && s->cfg.window_ns)
		keep_window(s);
	if (s->rc || !s->cfg.max_bytes || has_room(s))
		return s->rc;
	store_run(s, "BEGIN");
	for (int i = 0; i < 64 && !s->rc && !has_room(s); i++) {
		int64_t n = store_number(s, "SELECT count(*) FROM snapshot WHERE detail");
		char sql[128];

		if (n > KEEP_MOMENTS) {
			snprintf(sql, sizeof(sql), "SELECT id FROM snapshot WHERE detail ORDER BY id"
				 " LIMIT 1 OFFSET %" PRId64, n / 4);
			drop_detail_before(s, store_number(s, sql));
		} else if (s->stride < 1u << 20) {
			thin_summary(s);
		} else {
			break; /* the caller keeps within store_room(): this is all there is */
		}
	}
	store_run(s, "COMMIT");
	return store_run(s, "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)");
}
