/* SPDX-License-Identifier: MIT */
#include "gcstate.h"

#include <stddef.h>

/*
 * GCS… of lgc.h (5.1.5, 5.2.4, 5.3.6, 5.4.6, 5.5.0) and lj_gc.h (v2.1). 5.2 keeps a separate pause
 * at the end, 5.1 and LuaJIT at the start.
 */
static const char *const lua51[] = { "pause", "propagate", "sweep strings", "sweep", "finalize" };
static const char *const lua52[] = { "propagate", "atomic", "sweep strings", "sweep udata", "sweep",
				     "pause" };
static const char *const lua53[] = { "propagate", "atomic", "sweep", "sweep", "sweep", "sweep",
				     "finalize", "pause" };
static const char *const lua54[] = { "propagate", "enter atomic", "atomic", "sweep", "sweep",
				     "sweep", "sweep", "finalize", "pause" };
static const char *const luajit[] = { "pause", "propagate", "atomic", "sweep strings", "sweep",
				      "finalize" };

#define PICK(table) (gcstate < sizeof(table) / sizeof(table[0]) ? table[gcstate] : NULL)

const char *gcstate_name(const struct lmt_layout *l, unsigned int gcstate)
{
	if (l->family == LMT_FAMILY_LUAJIT)
		return PICK(luajit);
	switch (l->version) {
	case 501:
		return PICK(lua51);
	case 502:
		return PICK(lua52);
	case 503:
		return PICK(lua53);
	default:
		return PICK(lua54);
	}
}
