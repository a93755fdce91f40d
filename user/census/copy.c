/* SPDX-License-Identifier: MIT */
#include "copy.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "discover/task.h"
#include "resolve/states.h"

#define LOOK_MS 2 /* between looks at threads that run */

void copier_init(struct copier *c, pid_t pid, const struct memread *mem, uint64_t budget_ns)
{
	*c = (struct copier){ .pid = pid, .mem = mem, .budget_ns = budget_ns };
}

void copier_deinit(struct copier *c)
{
	stopper_end(&c->stopper);
	image_deinit(&c->im);
	proc_maps_deinit(&c->maps);
}

/* Data of a module, in contrast to memory that merely has a file to be shared by. */
static bool is_module(const struct proc_map *m)
{
	return m->inode && strncmp(m->path, "/dev/", 5) && strncmp(m->path, "/memfd:", 7) &&
	       strncmp(m->path, "/SYSV", 5);
}

/* Neighbours become one range: an object may lie across the border of two mappings. */
static int add_range(image_ranges *to, const struct proc_map *m)
{
	struct image_range *last = to->n ? &to->v[to->n - 1] : NULL;

	if (last && last->end == m->start && last->of_file == is_module(m)) {
		last->end = m->end;
		return 0;
	}
	return vec_push(to, (struct image_range){ m->start, m->end, is_module(m) });
}

static int prepare(struct copier *c, struct errmsg *err)
{
	image_ranges ranges = { 0 };
	int rc = proc_read_maps(c->pid, &c->maps);

	vec_each(m, &c->maps.maps)
		if (!rc && states_may_hold(m))
			rc = add_range(&ranges, m);
	if (!rc)
		rc = image_prepare(&c->im, &ranges);
	vec_deinit(&ranges);
	if (rc == -ENOMEM)
		return errmsg_set(err, rc, "out of memory");
	return rc ? errmsg_set(err, rc, "process %d has ended", c->pid) : 0;
}

uint64_t copier_size(struct copier *c)
{
	uint64_t sum = 0;

	if (proc_read_maps(c->pid, &c->maps))
		return 0;
	vec_each(m, &c->maps.maps) {
		uint64_t at = m->start, run, end;

		while (states_may_hold(m) && at < m->end &&
		       memread_resident(c->mem, at, m->end, &run, &end)) {
			sum += end - run;
			at = end;
		}
	}
	return sum;
}

int copier_learn(struct copier *c, struct errmsg *err)
{
	int rc;

	c->im.sparse = true;
	rc = prepare(c, err);
	c->im.fetch = c->mem;
	return rc;
}

void copier_learned(struct copier *c)
{
	c->im.fetch = NULL;
}

/* Waits until no thread is running, or the time is over; the threads as they were then. */
static int wait_idle(pid_t pid, unsigned int wait_ms, task_list *ret)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + wait_ms * 1000000ull;

	for (;;) {
		bool running = false;
		int rc = task_read_all(pid, ret);

		vec_each(t, ret)
			running |= t->state == 'R';
		if (rc || !running || clock_ns(CLOCK_MONOTONIC) >= end)
			return rc;
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000 }, NULL);
	}
}

/* What it takes is told in processor time: during a stop nobody else is served first. */
static bool fill(struct copier *c, uint64_t deadline_ns)
{
	uint64_t start = cpu_ns();
	bool done = image_fill(&c->im, c->mem, deadline_ns);

	c->fill_ns = cpu_ns() - start;
	c->bytes = c->im.copied_bytes;
	return done;
}

static bool is_held(const task_list *tasks)
{
	vec_each(t, tasks)
		if (t->state == 'T' || t->state == 't')
			return true;
	return false;
}

int copier_take_running(struct copier *c, unsigned int wait_ms, struct errmsg *err)
{
	task_list before = { 0 }, after = { 0 };
	int rc = prepare(c, err);

	if (!rc && wait_idle(c->pid, wait_ms, &before))
		rc = errmsg_set(err, -ESRCH, "process %d has ended", c->pid);
	if (!rc) {
		fill(c, 0);
		c->stopped = false;
		c->held = is_held(&before);
		c->still = !task_read_all(c->pid, &after) && task_stood_still(&before, &after);
		log_debug("copied %llu KiB in %.1f ms, %s", (unsigned long long)c->bytes >> 10,
			  (double)c->fill_ns / 1e6, c->still ? "all threads asleep" : "running");
	}
	vec_deinit(&before);
	vec_deinit(&after);
	return rc;
}

uint64_t copier_estimate_ns(const struct copier *c)
{
	return c->fill_ns;
}

/* While the target waits for us nobody else should be served first. Not allowed: then not. */
static void hurry(bool on)
{
	struct sched_param p = { .sched_priority = on ? 1 : 0 };

	sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &p);
}

int copier_take_stopped(struct copier *c, struct errmsg *err)
{
	uint64_t deadline, held = 0;
	bool done, in_time;
	int rc = c->stopper.pid ? 0 : stopper_start(&c->stopper, c->pid, err);

	if (!rc)
		rc = prepare(c, err); /* most of it before the stop: memory takes time to get */
	if (!rc)
		image_populate(&c->im, c->mem);
	hurry(true);
	if (!rc)
		rc = stopper_stop(&c->stopper, c->budget_ns, err);
	if (rc) {
		hurry(false);
		return rc;
	}
	deadline = clock_ns(CLOCK_MONOTONIC) - c->stopper.spent_ns + c->budget_ns;
	rc = prepare(c, err);
	done = !rc && fill(c, deadline);
	in_time = stopper_resume(&c->stopper, &held);
	hurry(false);
	c->stops++;
	if (held > c->pause_ns)
		c->pause_ns = held;
	log_debug("stopped it for %.2f ms and copied %llu KiB in %.2f ms%s", (double)held / 1e6,
		  (unsigned long long)c->bytes >> 10, (double)c->fill_ns / 1e6, done && in_time ? "" : ": too long");
	c->held = false;
	c->still = c->stopped = done && in_time;
	if (rc || c->still)
		return rc;
	return errmsg_set(err, -ETIME, "stopping and copying it took longer than the %.0f ms it may be stopped for",
			  (double)c->budget_ns / 1e6);
}
