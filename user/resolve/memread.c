/* SPDX-License-Identifier: MIT */
#include "memread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"

#define PAGE 4096u
#define BATCH 4096u /* pagemap entries read at once: 16 MiB of address space */
#define PM_IN_RAM_OR_SWAP (3ull << 62)

struct live {
	pid_t pid;      /* 0: it has ended; another may have its number */
	int pagemap_fd; /* -1: not allowed, then all pages count as resident */
	uint64_t first; /* page number of batch[0] */
	uint64_t next;  /* address behind the latest run */
	size_t n;
};

/* Of the process whose pages were looked at last: one at a time is scanned. */
static struct {
	const struct live *of;
	uint64_t entry[BATCH];
} batch;

static size_t live_read(void *ctx, uint64_t uaddr, void *buf, size_t len)
{
	const struct live *l = ctx;
	struct iovec local = { buf, len };
	struct iovec remote = { (void *)(uintptr_t)uaddr, len };
	ssize_t n = l->pid ? process_vm_readv(l->pid, &local, 1, &remote, 1, 0) : 0;

	return n > 0 ? (size_t)n : 0;
}

static bool page_present(struct live *l, uint64_t page)
{
	if (batch.of != l || page < l->first || page >= l->first + l->n) {
		ssize_t got = pread(l->pagemap_fd, batch.entry, sizeof(batch.entry),
				    (off_t)(page * sizeof(uint64_t)));

		batch.of = l;
		l->first = page;
		l->n = got > 0 ? (size_t)got / sizeof(uint64_t) : 0;
		if (!l->n)
			return true;
	}
	return batch.entry[page - l->first] & PM_IN_RAM_OR_SWAP;
}

static bool live_resident(void *ctx, uint64_t start, uint64_t end, uint64_t *run_start,
			  uint64_t *run_end)
{
	struct live *l = ctx;
	uint64_t page = start / PAGE;

	if (l->pagemap_fd < 0) {
		*run_start = start;
		*run_end = end;
		return start < end;
	}
	if (start != l->next)
		l->n = 0; /* look afresh: pages come and go */
	while (page * PAGE < end && !page_present(l, page))
		page++;
	if (page * PAGE >= end)
		return false;
	*run_start = page * PAGE > start ? page * PAGE : start;
	while (page * PAGE < end && page_present(l, page))
		page++;
	*run_end = page * PAGE < end ? page * PAGE : end;
	l->next = *run_end;
	return true;
}

int memread_open_process(pid_t pid, struct memread *ret)
{
	struct live *l = calloc(1, sizeof(*l));
	char path[64];

	if (!l)
		return -ENOMEM;
	l->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	l->pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
	*ret = (struct memread){ .ctx = l, .read = live_read, .resident = live_resident };
	return 0;
}

/* Yama's switch; -1 where the kernel has none. */
static int ptrace_scope(void)
{
	FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	int scope = -1;

	if (f && fscanf(f, "%d", &scope) != 1)
		scope = -1;
	if (f)
		fclose(f);
	return scope;
}

int memread_check_process(pid_t pid, uint64_t uaddr, struct errmsg *err)
{
	char byte;
	struct iovec local = { &byte, 1 }, remote = { (void *)(uintptr_t)uaddr, 1 };

	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) >= 0 || (errno != EPERM && errno != EACCES))
		return 0;
	if (ptrace_scope() == 3)
		return errmsg_set(err, -EPERM, "cannot read the memory of process %d: kernel.yama.ptrace_scope "
				  "is 3, which forbids it to everybody until the next boot", pid);
	return errmsg_set(err, -EPERM, "cannot read the memory of process %d: no permission; run as root, or "
			  "with CAP_SYS_PTRACE", pid);
}

void memread_end_process(struct memread *m)
{
	struct live *l = m->ctx;

	if (l->pagemap_fd >= 0)
		close(l->pagemap_fd);
	l->pagemap_fd = -1;
	l->pid = 0;
}

void memread_close_process(struct memread *m)
{
	struct live *l = m->ctx;

	if (!l)
		return;
	if (l->pagemap_fd >= 0)
		close(l->pagemap_fd);
	free(l);
	m->ctx = NULL;
}

bool memread_exact(const struct memread *m, uint64_t uaddr, void *buf, size_t len)
{
	return m->read(m->ctx, uaddr, buf, len) == len;
}

uint64_t mem_uint(const void *p, unsigned int size)
{
	uint64_t v = 0;

	if (size > sizeof(v))
		BUG();
	memcpy(&v, p, size); /* x86-64 is little-endian */
	return v;
}

bool memread_uint(const struct memread *m, uint64_t uaddr, unsigned int size, uint64_t *ret)
{
	char buf[8];

	if (size > sizeof(buf) || !memread_exact(m, uaddr, buf, size))
		return false;
	*ret = mem_uint(buf, size);
	return true;
}

bool memread_resident(const struct memread *m, uint64_t start, uint64_t end, uint64_t *run_start,
		      uint64_t *run_end)
{
	if (m->resident)
		return m->resident(m->ctx, start, end, run_start, run_end);
	*run_start = start;
	*run_end = end;
	return start < end;
}

static size_t read_copies(void *ctx, uint64_t uaddr, void *buf, size_t len)
{
	const struct memread_copies *c = ctx;

	for (size_t i = 0; i < sizeof(c->part) / sizeof(c->part[0]); i++) {
		uint64_t off = uaddr - c->part[i].uaddr;

		if (!c->part[i].len || off >= c->part[i].len || len > c->part[i].len - off)
			continue;
		memcpy(buf, (const char *)c->part[i].data + off, len);
		return len;
	}
	return c->below ? c->below->read(c->below->ctx, uaddr, buf, len) : 0;
}

void memread_open_copies(struct memread_copies *c, struct memread *ret)
{
	*ret = (struct memread){ .ctx = c, .read = read_copies };
}

static size_t read_cached(void *ctx, uint64_t uaddr, void *buf, size_t len)
{
	struct memread_cached *c = ctx;
	uint64_t line = uaddr & ~(uint64_t)(MEMREAD_LINE - 1);
	unsigned int i = (unsigned int)(line / MEMREAD_LINE) % MEMREAD_LINES;

	if (uaddr + len > line + MEMREAD_LINE || uaddr + len < uaddr)
		return c->below->read(c->below->ctx, uaddr, buf, len);
	if (c->line[i] != line + 1) {
		c->line[i] = 0;
		if (c->below->read(c->below->ctx, line, c->data[i], MEMREAD_LINE) != MEMREAD_LINE)
			return c->below->read(c->below->ctx, uaddr, buf, len);
		c->line[i] = line + 1;
	}
	memcpy(buf, c->data[i] + (uaddr - line), len);
	return len;
}

void memread_open_cached(struct memread_cached *c, const struct memread *below, struct memread *ret)
{
	c->below = below;
	memset(c->line, 0, sizeof(c->line));
	*ret = (struct memread){ .ctx = c, .read = read_cached };
}
