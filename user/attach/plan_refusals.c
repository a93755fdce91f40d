/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "base/log.h"
#include "plan.h"
#include "resolve/refusals.h"

/*
 * Where the code goes once an allocator has said no. That tells of refusals while the allocators are not
 * probed, at no cost to those that are not refused.
 */
int plan_add_refusals(struct plan *p, const struct runtime *rt)
{
	static const char *const names[] = { "emergency collection", "memory error", "asked again" };
	const struct code *code = file_code(rt->file);
	struct refusals found = { 0 };
	struct refusal_wants w = { .realloc_fn = rt->fn[FUNC_LUAM_REALLOC].vaddr,
				   .fullgc = rt->fn[FUNC_LUAC_FULLGC].vaddr,
				   .throw_fn = rt->fn[FUNC_LUAD_THROW].vaddr,
				   .err_mem = rt->fn[FUNC_LJ_ERR_MEM].vaddr };
	int rc = 0;

	if (!code || !rt->layout)
		return 0;
	if (rt->family == LMT_FAMILY_LUAJIT)
		w.realloc_fn = rt->fn[FUNC_LJ_MEM_REALLOC].vaddr;
	w.disp = rt->layout->l.G_alloc.off;
	rc = refusals_find(code, &w, &found);
	vec_each(r, &found.v) {
		struct plan_site site = { .program = PLAN_ENTRY, .file = rt->file, .layout = rt->layout };

		if (rc || !elf_offset_of(rt->file->elf, r->vaddr, &site.offset))
			continue;
		site.probe = (struct lmt_probe){
			.kind = r->kind == REFUSAL_RETRIED ? LMT_PROBE_RETRIED : LMT_PROBE_REFUSED,
			.reg_ud = REG_DI,
			.reg_ptr = r->kind == REFUSAL_RETRIED ? REG_AX : r->ptr,
			.reg_osize = r->osize,
			.reg_nsize = r->nsize,
			.runtime = (uint8_t)rt->id,
		};
		snprintf(site.name, sizeof(site.name), "%s", names[r->kind]);
		log_debug("%s: %s at 0x%llx, block in %d, osize in %d, nsize in %d", rt->module, site.name,
			  (unsigned long long)r->vaddr, r->ptr, r->osize, r->nsize);
		rc = vec_push(&p->sites, site);
	}
	vec_deinit(&found.v);
	return rc;
}
