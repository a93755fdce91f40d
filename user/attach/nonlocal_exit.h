/* SPDX-License-Identifier: MIT */
/*
 * nonlocal_exit: may a function end otherwise than by returning to its caller, on the stack it was called on?
 * A return probe on such a function kills the target. L3 attach. Pure: decoded code in, an answer out.
 */
#ifndef LMT_ATTACH_NONLOCAL_EXIT_H
#define LMT_ATTACH_NONLOCAL_EXIT_H

#include "resolve/code.h"

/* What it may do ("throw a C++ exception"), or NULL. What is called through pointers is not followed. */
const char *nonlocal_exit(const struct code *code, const struct code_function *fn);

#endif
