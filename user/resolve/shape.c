/* SPDX-License-Identifier: MIT */
#include "shape.h"

/*
 * The snapshot of the mappings may be older than the newest objects of a growing process: what it
 * does not hold is looked at directly.
 */
bool shape_is_rw(const struct shape_env *env, uint64_t uaddr)
{
	const struct proc_map *map = proc_find_map(env->maps, uaddr);
	uint64_t word;

	if (map)
		return (map->prot & (PROC_R | PROC_W)) == (PROC_R | PROC_W);
	return uaddr >= 4096 && memread_uint(env->mem, uaddr, 8, &word);
}

bool shape_is_code(const struct shape_env *env, uint64_t uaddr)
{
	const struct proc_map *map = proc_find_map(env->maps, uaddr);

	return map && (map->prot & PROC_X);
}

uint64_t shape_get(const uint8_t *buf, size_t size, struct lmt_cell cell)
{
	if (cell.off < 0 || !cell.size || cell.size > 8 || (size_t)cell.off + cell.size > size)
		return 0;
	return mem_uint(buf + cell.off, cell.size);
}

enum shape_step shape_test(struct shape_env *env, const struct layout *row, uint64_t L, uint64_t G)
{
	enum shape_step step = row->l.family == LMT_FAMILY_PUC ? shape_puc(env, row, L, G)
							       : shape_luajit(env, row, L, G);

	env->step[step]++;
	return step;
}
