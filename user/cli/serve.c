/* SPDX-License-Identifier: MIT */
#include "serve.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "options.h"
#include "report/flame.h"
#include "report/prometheus.h"
#include "trace/session.h"

#define CONNECTIONS 16
#define IDLE_SECONDS 10 /* a connection that says nothing for so long is closed */
#define METRIC_SITES 50 /* unless -T says another number */

struct serve {
	struct trace_sink sink;
	const struct options *opt;
	struct session *session;
	struct MHD_Daemon *daemon;
	const struct page *wanted; /* while a report is made for it */
	char *text;                /* the answer */
	size_t len;
};

struct page {
	const char *path, *type;
	int (*write)(const struct serve *v, const struct report *r, FILE *out);
};

static int write_metrics(const struct serve *v, const struct report *r, FILE *out)
{
	const struct options *o = v->opt;

	prometheus_write(r, o->top_given ? o->top : METRIC_SITES, out);
	return 0;
}

static int write_heap(const struct serve *v, const struct report *r, FILE *out)
{
	(void)v;
	return pprof_write(r, out);
}

static int write_index(const struct serve *v, const struct report *r, FILE *out)
{
	(void)v;
	fprintf(out, "luamemtrace " LMT_VERSION ", %zu processes, %zu states\n\n"
		"/metrics           for Prometheus\n"
		"/debug/pprof/heap  heap profile: go tool pprof http://…/debug/pprof/heap\n",
		r->processes.n, r->states.n);
	return 0;
}

static const struct page pages[] = {
	{ "/metrics", PROMETHEUS_TYPE, write_metrics },
	{ "/debug/pprof/heap", "application/octet-stream", write_heap },
	{ "/", "text/plain; charset=utf-8", write_index },
};

static struct serve *serve_of(struct trace_sink *k)
{
	return (struct serve *)k;
}

/* The report that the answer is made of. */
static int on_look(struct trace_sink *k, struct session *s, const struct trace_look *l)
{
	struct serve *v = serve_of(k);
	FILE *out;
	int rc;

	(void)s;
	if (!v->wanted)
		return 0;
	out = open_memstream(&v->text, &v->len);
	if (!out)
		return -ENOMEM;
	rc = v->wanted->write(v, l->r, out);
	if (fclose(out) && !rc)
		rc = -ENOMEM;
	return rc;
}

static enum MHD_Result answer(struct MHD_Connection *c, unsigned int status, const char *type,
			      char *text, size_t len, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(len, text, mode);
	enum MHD_Result rc;

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "Cache-Control", "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	rc = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return rc;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned int status, const char *text)
{
	return answer(c, status, "text/plain; charset=utf-8", (char *)text, strlen(text),
		      MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result show(struct serve *v, struct MHD_Connection *c, const struct page *p)
{
	char *text;
	int rc;

	v->wanted = p;
	v->text = NULL;
	rc = session_look(v->session, true, false);
	v->wanted = NULL;
	text = v->text;
	if (rc || !text) {
		free(text);
		return refuse(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no report could be made\n");
	}
	return answer(c, MHD_HTTP_OK, p->type, text, v->len, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *body,
				  size_t *body_len, void **con)
{
	static int begun; /* its address says: the headers of this request were here before */
	(void)version;
	(void)body;

	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return *body_len ? (*body_len = 0, MHD_YES)
				 : refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	if (!*con) {
		*con = &begun;
		return MHD_YES;
	}
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (!strcmp(url, pages[i].path))
			return show(ctx, c, &pages[i]);
	return refuse(c, MHD_HTTP_NOT_FOUND, "there are /metrics and /debug/pprof/heap\n");
}

/* "host:port" → its parts; the host is NULL for all addresses. The text is changed. */
static int split(char *text, char **host, char **port)
{
	char *colon = strrchr(text, ':'), *end;

	if (!colon || !colon[1])
		return -EINVAL;
	*colon = '\0';
	*port = colon + 1;
	*host = *text ? text : NULL;
	if (*text != '[')
		return strchr(text, ':') ? -EINVAL : 0;
	end = strchr(text, ']');
	if (!end || end[1])
		return -EINVAL;
	*end = '\0';
	*host = text + 1;
	return 0;
}

static int listen_at(const char *address, struct errmsg *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found;
	auto_free char *copy = strdup(address);
	char *host, *port;
	int fd, one = 1, rc;

	if (!copy)
		return errmsg_set(err, -ENOMEM, "out of memory");
	if (split(copy, &host, &port))
		return errmsg_set(err, -EINVAL, "option '--listen': '%s' is not HOST:PORT, such as 127.0.0.1:9464",
				  address);
	rc = getaddrinfo(host, port, &hints, &found);
	if (rc)
		return errmsg_set(err, -EINVAL, "option '--listen': '%s': %s", address, gai_strerror(rc));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, CONNECTIONS)) {
		rc = errmsg_set(err, -EIO, "cannot listen at %s: %s", address, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = rc;
	}
	freeaddrinfo(found);
	return fd;
}

static int open_serve(struct trace_sink *k, struct session *s, struct errmsg *err)
{
	struct serve *v = serve_of(k);
	int fd = listen_at(v->opt->listen, err);

	if (fd < 0)
		return fd;
	v->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, v,
				     MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
				     (unsigned int)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
				     (unsigned int)IDLE_SECONDS, MHD_OPTION_END);
	if (!v->daemon) {
		close(fd);
		return errmsg_set(err, -EIO, "cannot serve at %s: %s", v->opt->listen, strerror(errno));
	}
	v->session = s;
	k->fd = MHD_get_daemon_info(v->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	return 0;
}

/* Also now and then, for connections that say nothing. */
static void on_ready(struct trace_sink *k, struct session *s)
{
	(void)s;
	MHD_run(serve_of(k)->daemon);
}

static void free_serve(struct trace_sink *k)
{
	struct serve *v = serve_of(k);

	if (v->daemon)
		MHD_stop_daemon(v->daemon);
	free(v);
}

static const struct trace_sink_ops ops = {
	.open = open_serve,
	.on_look = on_look,
	.on_ready = on_ready,
	.free = free_serve,
};

int serve_new(const struct options *opt, struct trace_sink **ret)
{
	struct serve *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->opt = opt;
	v->sink = (struct trace_sink){ .ops = &ops, .fd = -1, .ticks = true, .takes_reports = true,
				       .whole = true };
	*ret = &v->sink;
	return 0;
}
