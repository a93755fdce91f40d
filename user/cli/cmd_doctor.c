/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/attach.h"
#include "base/log.h"
#include "discover/proc.h"
#include "report/doctor.h"
#include "resolve/insn.h"
#include "trace/build_report.h"
#include "trace/session_find.h"

#define MAX_CHECKS 16

struct checks {
	struct doctor_check c[MAX_CHECKS];
	size_t n;
};

static void add(struct checks *cs, const char *name, enum check_status status, const char *remedy,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void add(struct checks *cs, const char *name, enum check_status status, const char *remedy,
		const char *fmt, ...)
{
	struct doctor_check *c = &cs->c[cs->n++];
	va_list ap;

	c->name = name;
	c->status = status;
	c->remedy = status == CHECK_OK ? NULL : remedy;
	va_start(ap, fmt);
	vsnprintf(c->detail, sizeof(c->detail), fmt, ap);
	va_end(ap);
}

static void check_kernel(struct checks *cs)
{
	struct utsname u;

	uname(&u);
	add(cs, "kernel", strcmp(u.machine, "x86_64") ? CHECK_FAIL : CHECK_OK,
	    "only x86-64 is supported", "%s %s", u.release, u.machine);
}

static void check_namespace(struct checks *cs)
{
	bool global = proc_pids_are_global();

	add(cs, "process numbers", global ? CHECK_OK : CHECK_FAIL,
	    "run on the host, or in a container with --pid=host", "%s",
	    global ? "those of the whole system" : "those of a container");
}

static void check_lockdown(struct checks *cs)
{
	char text[128];

	if (proc_read_text("/sys/kernel/security/lockdown", text, sizeof(text)) < 0)
		add(cs, "lockdown", CHECK_OK, NULL, "none");
	else
		add(cs, "lockdown", strstr(text, "[confidentiality]") ? CHECK_NOTE : CHECK_OK,
		    "nothing needs doing: our programs only use what it allows", "%s", text);
}

static void check_bpf(struct checks *cs, const struct features *f)
{
	static const char as_root[] = "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE";

	add(cs, "BTF", f->btf ? CHECK_OK : CHECK_FAIL,
	    "use a kernel built with CONFIG_DEBUG_INFO_BTF", "/sys/kernel/btf/vmlinux%s",
	    f->btf ? "" : " cannot be read");
	add(cs, "load BPF programs", f->load.result == TRIAL_WORKS ? CHECK_OK : CHECK_FAIL,
	    f->load.err == EPERM ? as_root : "use a kernel built with CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS",
	    "%s", f->load.result == TRIAL_WORKS ? "tried: works" : f->load.why);
}

/* What to do where a way does not work; it is one of several. */
static const char *way_remedy(const struct features *f, enum feature_way way)
{
	static const char *const newer[WAYS] = {
		[WAY_SESSION] = "nothing needs doing: newer kernels (6.13) have it, a free costs less there",
		[WAY_MULTI] = "nothing needs doing: newer kernels (6.6) have it",
		[WAY_PERF] = "use Linux 5.15 or later, built with CONFIG_UPROBE_EVENTS",
	};
	bool other = feature_best_way(f) != WAYS;

	if (f->load.err == EPERM)
		return "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE";
	if (f->ways[way].err == EPERM && !other)
		return "run as root, or give it CAP_SYS_ADMIN as well";
	if (!other)
		return newer[WAY_PERF];
	return way == WAY_PERF ? "nothing needs doing: another way works" : newer[way];
}

/* By lines: a log line is one. */
static void say_last_words(enum feature_way way, const char *said)
{
	char text[512], *save = NULL;

	if (*said)
		log_debug("%s: the verifier's last words:", feature_way_name(way));
	snprintf(text, sizeof(text), "%s", said);
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		log_debug("  %s", l);
}

/* Our own programs, all of them, loaded and attached by each way. */
static void check_ways(struct checks *cs, struct features *f)
{
	for (enum feature_way way = 0; way < WAYS && f->load.result == TRIAL_WORKS; way++)
		attach_try(f, way);
	for (enum feature_way way = 0; way < WAYS; way++) {
		const struct trial *t = &f->ways[way];
		bool works = t->result == TRIAL_WORKS;

		add(cs, feature_way_name(way),
		    works ? CHECK_OK :
		    feature_best_way(f) == WAYS ? CHECK_FAIL : CHECK_NOTE,
		    way_remedy(f, way), "%s",
		    works ? "our programs load and attach" :
		    t->result == TRIAL_NONE ? "could not be tried" : t->why);
		say_last_words(way, t->said);
	}
}

/* A child that only who may read every process can read; its pid, or -errno. */
static pid_t start_closed_child(void)
{
	int ready[2];
	char byte;
	pid_t child;

	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_DUMPABLE, 0);
		close(ready[1]);
		pause();
		_exit(0);
	}
	close(ready[1]);
	if (child > 0 && read(ready[0], &byte, 1) < 0) /* until the child has closed its end */
		log_debug("%s", strerror(errno));
	close(ready[0]);
	return child < 0 ? -errno : child;
}

static void check_reading(struct checks *cs)
{
	static const uint64_t mark = 0x6c756d656d747261;
	pid_t child = start_closed_child();
	struct memread mem = { 0 };
	uint64_t word = 0;
	bool works = false;

	if (child > 0 && !memread_open_process(child, &mem)) {
		works = memread_uint(&mem, (uint64_t)(uintptr_t)&mark, sizeof(word), &word) &&
			word == mark;
		memread_close_process(&mem);
	}
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	add(cs, "read other processes", works ? CHECK_OK : CHECK_NOTE,
	    "run as root, or with CAP_SYS_PTRACE; else only your own processes can be read", "%s",
	    child < 0 ? strerror(-child) : works ? "tried on a child of ours: works" : "not permitted");
}

static void check_emulation(struct checks *cs, const struct features *f)
{
	static const struct { enum insn_emulation emu; const char *name; } kinds[] = {
		{ EMU_PUSH, "push" }, { EMU_JMP, "jmp" },   { EMU_JCC, "jcc" },
		{ EMU_CALL, "call" }, { EMU_NOP1, "nop" }, { EMU_NOPL, "nop5" },
	};
	char names[80] = "";

	if (f->by_table) {
		add(cs, "cheap probe sites", CHECK_NOTE, f->load.err == EPERM ? "run as root to measure them"
		    : "nothing needs doing: where no probe can be placed none can be measured",
		    "not tried: push, jumps, call and nop, as on all kernels");
		return;
	}
	if (f->stepped_ns <= 0)
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t n = strlen(names);

		if (f->emulates >> kinds[i].emu & 1)
			snprintf(names + n, sizeof(names) - n, " %s", kinds[i].name);
	}
	add(cs, "cheap probe sites", f->emulates >> EMU_PUSH & 1 ? CHECK_OK : CHECK_NOTE,
	    "probes will be dear on this kernel", "emulated:%s; %.0f ns a hit, %.0f ns on others", names,
	    f->emulated_ns, f->stepped_ns);
}

static enum exit_status verdict(const struct features *f)
{
	struct errmsg err;
	int rc = feature_check(f, &err);

	return exit_status_of(rc);
}

/* Of one process: what --kinds c-leak would follow. */
static void check_c_heap(struct checks *cs, struct session *s, struct session_target *t)
{
	char where[sizeof(cs->c[0].detail)];
	size_t n = session_look_for_c_heap(s, t, where, sizeof(where));

	if (cs->n < MAX_CHECKS)
		add(cs, "C heap (c-leak)", n ? CHECK_OK : CHECK_NOTE,
		    "not available here: no malloc() was found; a build that is not stripped has one", "%s",
		    n ? where : "none");
}

static int look_at_targets(struct checks *cs, struct session *s, const struct features *f,
			   struct errmsg *err)
{
	s->features = *f;
	vec_each(t, &s->targets.all) {
		int rc = plan_build(t->resolved, &s->features, &t->plan, err);

		if (rc)
			return rc;
		check_c_heap(cs, s, t);
	}
	return 0;
}

int cmd_doctor(struct options *o)
{
	struct built_report b = { .r.last = true };
	struct session *s = NULL;
	struct checks cs = { .n = 0 };
	struct features f;
	struct errmsg err;
	int rc;

	feature_probe(&f, FEATURE_ALL, NULL);
	check_kernel(&cs);
	check_namespace(&cs);
	check_lockdown(&cs);
	check_bpf(&cs, &f);
	check_ways(&cs, &f);
	check_reading(&cs);
	check_emulation(&cs, &f);
	rc = command_open(o, &s, &err);
	if (!rc)
		rc = look_at_targets(&cs, s, &f, &err);
	if (!rc && build_report_static(s, true, false, &b))
		rc = errmsg_set(&err, -ENOMEM, "out of memory");
	if (o->json)
		doctor_write_json(cs.c, cs.n, &b.r, stdout);
	else
		doctor_write_text(cs.c, cs.n, &b.r,
				  o->color, stdout);
	build_report_free(&b);
	session_free(s);
	if (rc)
		return command_fail(rc, &err);
	return command_flush() ? (int)verdict(&f) : EXIT_WRITE;
}
