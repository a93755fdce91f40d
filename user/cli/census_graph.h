/* SPDX-License-Identifier: MIT */
/* census_graph: who holds what, as the stacks of a report, for the flame graph. L10 cli. */
#ifndef LMT_CLI_CENSUS_GRAPH_H
#define LMT_CLI_CENSUS_GRAPH_H

#include <stdint.h>

#include "census/census.h"
#include "trace/build_report.h"

/* Adds the reference stacks of a process; first: number of its first state. -ENOMEM. */
int census_graph_add(struct built_report *b, const struct census *c, uint32_t first);

#endif
