/* SPDX-License-Identifier: MIT */
/*
 * log: progress, warnings and debug lines on stderr.
 * L0 base. The only code besides report/ and cli/ that prints. What is printed is escaped here
 * (base/escape.h): callers give names as they are.
 */
#ifndef LMT_BASE_LOG_H
#define LMT_BASE_LOG_H

#include <stdarg.h>

enum log_level { LOG_QUIET = -1, LOG_NORMAL = 0, LOG_DEBUG = 1, LOG_TRACE = 2 };

void log_set_level(enum log_level level);
enum log_level log_level(void);

/* A line for the person at the terminal; silenced by -q. */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Something the person should know even with -q: prefixed "warning: ". */
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Shown with -v, allowed in every layer. */
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Shown with -v -v; takes text of whole lines (libbpf, the verifier). */
void log_vtrace(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

#endif
