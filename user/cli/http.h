/* SPDX-License-Identifier: MIT */
/*
 * http: a few pages over HTTP/1.1, for scrapers: GET and HEAD, one answer a connection. L10 cli.
 * Everything is bounded: connections, the bytes of a request, the time of a request and of its
 * answer. No thread: runs in the caller's loop.
 */
#ifndef LMT_CLI_HTTP_H
#define LMT_CLI_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct errmsg;
struct http;

struct http_answer {
	int status;       /* 200, … */
	const char *type; /* Content-Type; static */
	char *text;       /* malloc()ed; freed by http */
	size_t len;
};

/* The page at a path, without what follows a question mark. False when out of memory. */
typedef bool (*http_page_fn)(void *ctx, const char *path, struct http_answer *ret);

/*
 * Listens at HOST:PORT, [HOST]:PORT or :PORT; a HOST is an address or "localhost". *ret is the
 * caller's, for http_close(). 0, -EINVAL (address), -EIO or -ENOMEM.
 */
int http_open(const char *address, http_page_fn page, void *ctx, struct http **ret,
	      struct errmsg *err);

/* Readable when http_run() has something to do. Borrowed. */
int http_fd(const struct http *h);

/* Does what can be done without waiting. To be called also now and then, for the late ones. */
void http_run(struct http *h);

/* NULL is fine. */
void http_close(struct http *h);

/* A text for people; false when out of memory. */
bool http_say(struct http_answer *ret, int status, const char *text);

#endif
