/* SPDX-License-Identifier: MIT */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"

#define WAITING 64 /* connections that the kernel holds while an answer is made */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool read_port(const char *text, in_port_t *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n > 65535)
		return false;
	*ret = htons((in_port_t)n);
	return true;
}

/* The text is changed. */
static bool read_v6(char *text, union address *ret)
{
	char *end = strchr(text, ']');

	if (!end || end[1] != ':')
		return false;
	*end = '\0';
	ret->v6.sin6_family = AF_INET6;
	return inet_pton(AF_INET6, text + 1, &ret->v6.sin6_addr) == 1 &&
	       read_port(end + 2, &ret->v6.sin6_port);
}

static bool read_v4(char *text, union address *ret)
{
	char *colon = strchr(text, ':');

	if (!colon)
		return false;
	*colon = '\0';
	if (!strcmp(text, "localhost"))
		text = "127.0.0.1";
	else if (!*text)
		text = "0.0.0.0";
	ret->v4.sin_family = AF_INET;
	return inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1 &&
	       read_port(colon + 1, &ret->v4.sin_port);
}

static bool is_loopback(const union address *a)
{
	if (a->any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
	return ntohl(a->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

int listen_at(const char *address, bool *loopback, struct errmsg *err)
{
	auto_free char *copy = strdup(address);
	union address a = { 0 };
	int fd, one = 1, rc;

	if (!copy)
		return errmsg_set(err, -ENOMEM, "out of memory");
	if (!(*copy == '[' ? read_v6(copy, &a) : read_v4(copy, &a)))
		return errmsg_set(err, -EINVAL,
				  "option '--listen': '%s' is not ADDRESS:PORT, such as 127.0.0.1:9464",
				  address);
	*loopback = is_loopback(&a);
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && !bind(fd, &a.any, sizeof(a)) && !listen(fd, WAITING))
		return fd;
	rc = errmsg_set(err, -EIO, "cannot listen at %s: %s", address, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}
