/* SPDX-License-Identifier: MIT */
/*
 * native-growth: the process grows outside its Lua heaps, all the time. What a library, the FFI or
 * a userdata takes from malloc() or mmap() is in no state's count, so that nothing else here would
 * say why the process is large. It is not known to be a leak: a buffer that fills for as long as
 * the trace lasts looks the same.
 */
#include "detect.h"

#include "base/fmt.h"

/*
 * Of what Lua's heaps grow by, garbage and all, in the same time: their blocks' headers and
 * rounding lie outside of them.
 */
#define LUA_SHARE 0.3

/* Then the cause is known, and told. */
static bool has_c_leak(const struct findings *fs, pid_t pid)
{
	vec_each(f, &fs->v)
		if (f->kind == FINDING_C_LEAK && f->pid == pid && !f->withdrawn)
			return true;
	return false;
}

void detect_native_growth(struct findings *fs, pid_t pid, const struct memory_series *recent,
			  const struct memory_series *whole, uint64_t now_ns)
{
	double rate = memory_rises(recent, MEMORY_NATIVE);
	double lua = memory_growth(whole, MEMORY_LUA) + memory_growth(whole, MEMORY_GARBAGE);
	const struct memory_point *p = recent->n ? &recent->p[recent->n - 1] : NULL;
	struct fmtbuf a, b, c;
	struct finding *f;

	rate = rate > 0 ? rate : memory_rises(whole, MEMORY_NATIVE);
	if (!p || rate <= 0 || rate < lua * LUA_SHARE || has_c_leak(fs, pid)) {
		finding_withdraw(fs, FINDING_NATIVE_GROWTH, (uint64_t)pid);
		return;
	}
	f = finding_make(fs, FINDING_NATIVE_GROWTH, (uint64_t)pid);
	if (!f)
		return;
	if (!f->time_ns)
		f->time_ns = now_ns;
	f->severity = SEVERITY_WARNING;
	f->confidence = CONFIDENCE_LIKELY;
	f->pid = pid;
	evidence_rate(f, "growth_bytes_per_s", rate);
	evidence_number(f, "rss_bytes", p->rss);
	evidence_number(f, "lua_bytes", p->part[MEMORY_LUA]);
	evidence_number(f, "native_bytes", p->part[MEMORY_NATIVE]);
	finding_say(fs, f, "memory of C code grows by %s/s, outside the Lua heaps: %s by now, Lua holds %s",
		    fmt_bytes(&a, (uint64_t)rate), fmt_bytes(&b, p->part[MEMORY_NATIVE]),
		    fmt_bytes(&c, p->part[MEMORY_LUA]));
	finding_advise(fs, f, "which C function takes it, called from which line: 'luamemtrace -p %d -m exact "
		       "--kinds c-leak -d 60'", pid);
}
