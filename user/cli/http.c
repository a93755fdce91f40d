/* SPDX-License-Identifier: MIT */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "listen.h"

#define CONNECTIONS 32
#define REQUEST_BYTES 8192
#define SECONDS 10 /* for a whole request, and again for its answer */

enum stage { FREE, READING, WRITING, CLOSING /* until the peer has read it all */ };

/* Whose it is: the port left out, so that one address is one client. */
union peer {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct connection {
	int fd;
	union peer peer;
	enum stage stage;
	uint64_t since; /* of the stage, ns */
	char request[REQUEST_BYTES + 1];
	size_t have;
	char *out; /* head and body */
	size_t len, sent;
};

struct http {
	int listen_fd, epoll_fd;
	bool loopback;
	http_page_fn page;
	void *ctx;
	struct connection c[CONNECTIONS];
};

static const struct {
	int status;
	const char *text;
} reasons[] = {
	{ 200, "OK" }, { 400, "Bad Request" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
	{ 421, "Misdirected Request" }, { 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
};

static const char *reason(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "";
}

bool http_say(struct http_answer *ret, int status, const char *text)
{
	*ret = (struct http_answer){ .status = status, .type = "text/plain; charset=utf-8",
				     .text = strdup(text), .len = strlen(text) };
	return ret->text;
}

static void drop(struct connection *c)
{
	if (c->stage == FREE)
		return;
	close(c->fd);
	free(c->out);
	c->out = NULL;
	c->stage = FREE;
}

/* The value of a header, up to its line's end, or NULL. The request's text ends with a zero. */
static const char *header(const char *request, const char *name, size_t *len)
{
	size_t n = strlen(name);

	for (const char *l = strchr(request, '\n'); l; l = strchr(l + 1, '\n')) {
		if (strncasecmp(l + 1, name, n) || l[1 + n] != ':')
			continue;
		l += 2 + n;
		l += strspn(l, " \t");
		*len = strcspn(l, " \t\r\n");
		return l;
	}
	return NULL;
}

/*
 * A page of the web whose name is made to lead here (DNS rebinding) says its own name: by loopback
 * only addresses and "localhost" are meant.
 */
static bool host_is_ours(const struct http *h, const char *request)
{
	char host[INET6_ADDRSTRLEN + 1];
	struct in6_addr a;
	const char *text;
	size_t len;

	text = h->loopback ? header(request, "Host", &len) : NULL;
	if (!text)
		return true;
	if (*text == '[') {
		text++;
		len = strcspn(text, "]\r\n");
	} else {
		len = strcspn(text, ": \t\r\n");
	}
	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	return !strcasecmp(host, "localhost") || inet_pton(AF_INET, host, &a) == 1 ||
	       inet_pton(AF_INET6, host, &a) == 1;
}

static bool make_answer(struct http *h, char *request, bool *head_only, struct http_answer *ret)
{
	char *path, *end;

	*head_only = !strncmp(request, "HEAD ", 5);
	path = strchr(request, ' ');
	end = path ? strchr(path + 1, ' ') : NULL;
	if (!end || strncmp(end, " HTTP/1.", 8) || memchr(request, '\n', (size_t)(end - request)))
		return http_say(ret, 400, "this is not HTTP/1\n");
	if (strncmp(request, "GET ", 4) && !*head_only)
		return http_say(ret, 405, "only GET and HEAD\n");
	if (!host_is_ours(h, end))
		return http_say(ret, 421, "ask by address, or as localhost\n");
	*end = '\0';
	path++;
	path[strcspn(path, "?")] = '\0';
	return h->page(h->ctx, path, ret);
}

/* Takes the answer's text. */
static bool pack(struct connection *c, const struct http_answer *a, bool head_only)
{
	FILE *out = open_memstream(&c->out, &c->len);

	if (out) {
		fprintf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
			"Connection: close\r\n\r\n", a->status, reason(a->status), a->type, a->len);
		if (!head_only)
			fwrite(a->text, 1, a->len, out);
	}
	free(a->text);
	return out && !fclose(out);
}

static void go_to(struct http *h, struct connection *c, enum stage stage, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	c->stage = stage;
	c->since = clock_ns(CLOCK_MONOTONIC);
	if (epoll_ctl(h->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev))
		drop(c);
}

static void on_write(struct http *h, struct connection *c)
{
	ssize_t n = send(c->fd, c->out + c->sent, c->len - c->sent, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return drop(c);
	c->sent += n > 0 ? (size_t)n : 0;
	if (c->sent < c->len)
		return;
	shutdown(c->fd, SHUT_WR);
	go_to(h, c, CLOSING, EPOLLIN);
}

static void on_read(struct http *h, struct connection *c)
{
	ssize_t n = recv(c->fd, c->request + c->have, REQUEST_BYTES - c->have, 0);
	struct http_answer a = { 0 };
	bool head_only = false, ok;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		return drop(c);
	c->have += (size_t)n;
	c->request[c->have] = '\0';
	if (memmem(c->request, c->have, "\r\n\r\n", 4))
		ok = make_answer(h, c->request, &head_only, &a);
	else if (c->have == REQUEST_BYTES)
		ok = http_say(&a, 431, "the request is too long\n");
	else
		return;
	if (!ok || !pack(c, &a, head_only))
		return drop(c);
	go_to(h, c, WRITING, EPOLLOUT);
	on_write(h, c);
}

/* What a peer still sends behind its request is not wanted, but a reset would cut its answer. */
static void on_rest(struct connection *c)
{
	ssize_t n = recv(c->fd, c->request, REQUEST_BYTES, 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		drop(c);
}

static unsigned int connections_of(const struct http *h, const union peer *who)
{
	unsigned int n = 0;

	for (size_t i = 0; i < CONNECTIONS; i++)
		n += h->c[i].stage != FREE && !memcmp(&h->c[i].peer, who, sizeof(*who));
	return n;
}

/*
 * A free one, or the oldest of the address that holds most: who is slow makes room for who is not,
 * and nobody's many connections push out another's one.
 */
static struct connection *room(struct http *h)
{
	struct connection *worst = NULL;
	unsigned int most = 0;

	for (size_t i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &h->c[i];
		unsigned int n;

		if (c->stage == FREE)
			return c;
		n = connections_of(h, &c->peer);
		if (n > most || (n == most && c->since < worst->since)) {
			worst = c;
			most = n;
		}
	}
	drop(worst);
	return worst;
}

static int accept_peer(int listen_fd, union peer *ret)
{
	socklen_t len = sizeof(*ret);
	int fd;

	memset(ret, 0, sizeof(*ret));
	fd = accept4(listen_fd, &ret->any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (ret->any.sa_family == AF_INET6)
		ret->v6.sin6_port = 0;
	else if (ret->any.sa_family == AF_INET)
		ret->v4.sin_port = 0;
	return fd;
}

static void on_connect(struct http *h)
{
	union peer peer;
	int fd = accept_peer(h->listen_fd, &peer);
	struct epoll_event ev = { .events = EPOLLIN };
	struct connection *c;

	if (fd < 0)
		return;
	c = room(h);
	c->fd = fd;
	c->peer = peer;
	c->stage = READING;
	c->since = clock_ns(CLOCK_MONOTONIC);
	c->have = c->sent = 0;
	ev.data.ptr = c;
	if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		drop(c);
}

static void drop_late(struct http *h)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	for (size_t i = 0; i < CONNECTIONS; i++)
		if (h->c[i].stage != FREE && now - h->c[i].since > SECONDS * 1000000000ull)
			drop(&h->c[i]);
}

/* One event at a time: what one does may close the connection that the next would be for. */
void http_run(struct http *h)
{
	struct epoll_event ev;

	for (int i = 0; i < 2 * CONNECTIONS && epoll_wait(h->epoll_fd, &ev, 1, 0) == 1; i++) {
		struct connection *c = ev.data.ptr;

		if (!c)
			on_connect(h);
		else if (c->stage == READING)
			on_read(h, c);
		else if (c->stage == WRITING)
			on_write(h, c);
		else
			on_rest(c);
	}
	drop_late(h); /* last: who has waited for the caller is not late */
}

int http_fd(const struct http *h)
{
	return h->epoll_fd;
}

int http_open(const char *address, http_page_fn page, void *ctx, struct http **ret,
	      struct errmsg *err)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct http *h = calloc(1, sizeof(*h));
	int rc;

	if (!h)
		return errmsg_set(err, -ENOMEM, "out of memory");
	h->page = page;
	h->ctx = ctx;
	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	h->listen_fd = rc = listen_at(address, &h->loopback, err);
	if (rc >= 0 && (h->epoll_fd < 0 || epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, rc, &ev)))
		rc = errmsg_set(err, -EIO, "cannot serve at %s: %s", address, strerror(errno));
	if (rc < 0) {
		http_close(h);
		return rc;
	}
	if (!h->loopback)
		log_warn("who reaches %s can read all of it: see SECURITY in luamemtrace(8)",
			 address);
	*ret = h;
	return 0;
}

void http_close(struct http *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < CONNECTIONS; i++)
		drop(&h->c[i]);
	if (h->listen_fd >= 0)
		close(h->listen_fd);
	if (h->epoll_fd >= 0)
		close(h->epoll_fd);
	free(h);
}
