/* SPDX-License-Identifier: MIT */
#include "privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "session.h"

/* Newer than some headers (include/uapi/linux/capability.h, Linux 5.8 and 5.9). */
enum { PERFMON = 38, BPF = 39, CHECKPOINT_RESTORE = 40 };

#define BIT(cap) (1ull << (cap))
#define LAST_CAP 63

uint64_t privileges_needed(const struct session *s)
{
	/* New targets: their memory and files, also deleted ones; probes in them. */
	uint64_t keep = BIT(BPF) | BIT(PERFMON) | BIT(CHECKPOINT_RESTORE) | BIT(CAP_SYS_PTRACE) |
			BIT(CAP_DAC_READ_SEARCH);

	/* perf-event uprobes and BPF_ENABLE_STATS ask for it. */
	if (attach_way(s->attach) == WAY_PERF || s->cfg.mode != MODE_EXACT)
		keep |= BIT(CAP_SYS_ADMIN);
	keep |= sinks_capabilities(s);
	/* Its children may become another user's while they wait for us. */
	if (s->cfg.command)
		keep |= BIT(CAP_KILL);
	return keep;
}

void privileges_drop(const struct session *s)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	uint64_t keep = privileges_needed(s);

	for (unsigned long cap = 0; cap <= LAST_CAP; cap++)
		if (!(keep >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* of no use without the next */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	memset(data, 0, sizeof(data));
	if (!syscall(SYS_capget, &head, data)) {
		for (int i = 0; i < 2; i++) {
			uint32_t part = (uint32_t)(keep >> 32 * i);

			data[i].permitted &= part;
			data[i].effective &= part;
			data[i].inheritable = 0;
		}
		errno = 0;
		syscall(SYS_capset, &head, data);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || errno)
		log_debug("privileges are kept: %s", strerror(errno));
}
