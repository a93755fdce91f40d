/* SPDX-License-Identifier: MIT */
#include "creators.h"

#include <errno.h>

void creators_deinit(struct creators *c)
{
	vec_deinit(&c->v);
	vec_deinit(&c->processes);
}

struct creator *creators_get(struct creators *c, pid_t pid, uint32_t number)
{
	struct creator fresh = { .pid = pid, .number = number };

	vec_each(k, &c->v)
		if (k->pid == pid && k->number == number)
			return k;
	return vec_push(&c->v, fresh) ? NULL : &c->v.v[c->v.n - 1];
}

static struct creator_process *process_of(struct creators *c, pid_t pid)
{
	struct creator_process fresh = { .pid = pid };

	vec_each(p, &c->processes)
		if (p->pid == pid)
			return p;
	return vec_push(&c->processes, fresh) ? NULL : &c->processes.v[c->processes.n - 1];
}

int creators_born(struct creators *c, pid_t pid, uint32_t number, uint64_t now_ns)
{
	struct creator_process *p = process_of(c, pid);
	struct creator *k = creators_get(c, pid, number);

	if (!p || !k)
		return -ENOMEM;
	p->first_ns = p->born++ ? p->first_ns : now_ns;
	k->first_ns = k->born++ ? k->first_ns : now_ns;
	k->last_ns = now_ns;
	return 0;
}

int creators_closed(struct creators *c, pid_t pid)
{
	struct creator_process *p = process_of(c, pid);

	if (!p)
		return -ENOMEM;
	p->closed++;
	return 0;
}

void creators_look(struct creators *c, uint64_t now_ns)
{
	vec_each(p, &c->processes) {
		struct pace_point now = { .work = p->born, .old_frees = p->closed };

		if (!p->born)
			continue;
		now.ms = now_ns > p->first_ns ? (now_ns - p->first_ns) / 1000000 : 0;
		pace_add(&p->pace, &now);
	}
}
