/* SPDX-License-Identifier: MIT */
/*
 * shape: does memory at L and G look like a live lua_State and its global_State under a row?
 * L2 resolve. Structure decides, never a version string: real programs patch Lua and keep it.
 */
#ifndef LMT_RESOLVE_SHAPE_H
#define LMT_RESOLVE_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "discover/proc.h"
#include "layouts.h"
#include "memread.h"

/* Steps of the test; a rejected candidate counts under the first it fails. */
enum shape_step {
	SHAPE_OK,       /* accepted */
	SHAPE_READ,     /* not readable */
	SHAPE_TAG,      /* no thread */
	SHAPE_BACK,     /* global_State does not lead back */
	SHAPE_ALLOC,    /* allocator is not code */
	SHAPE_GCSTATE,  /* impossible GC state */
	SHAPE_WHITE,    /* impossible GC colour: closed or half built */
	SHAPE_VERSION,  /* other version number */
	SHAPE_STACK,    /* impossible stack */
	SHAPE_STRINGS,  /* impossible string table: closed or half built */
	SHAPE_REGISTRY, /* registry is no table of this row */
	SHAPE_NAMES,    /* metamethods' names are not strings of this row */
	SHAPE_PROTO,    /* prototypes are not of this row */
	SHAPE_VM,       /* interpreter state does not fit this row */
	SHAPE_STEP_MAX
};

struct shape_env {
	const struct memread *mem;
	const struct proc_maps *maps;
	uint64_t step[SHAPE_STEP_MAX]; /* candidates by outcome */
};

/* Runs the test of the row's family; SHAPE_OK or the step that failed. Counts it. */
enum shape_step shape_test(struct shape_env *env, const struct layout *row, uint64_t L, uint64_t G);

/* For the family files: is the address in writable memory, in code? */
bool shape_is_rw(const struct shape_env *env, uint64_t uaddr);
bool shape_is_code(const struct shape_env *env, uint64_t uaddr);

enum shape_step shape_puc(struct shape_env *env, const struct layout *row, uint64_t L, uint64_t G);
enum shape_step shape_luajit(struct shape_env *env, const struct layout *row, uint64_t L,
			     uint64_t G);

/* A member of a struct that was read into buf (size bytes); 0 if it lies outside. */
uint64_t shape_get(const uint8_t *buf, size_t size, struct lmt_cell cell);

#endif
