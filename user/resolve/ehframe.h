/* SPDX-License-Identifier: MIT */
/*
 * ehframe: function ranges out of .eh_frame, which no stripping removes.
 * L2 resolve. Pure: bytes in, ranges out. The bytes are hostile.
 */
#ifndef LMT_RESOLVE_EHFRAME_H
#define LMT_RESOLVE_EHFRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Calls fn for each FDE with a range that is not empty, in file order. data holds len bytes that
 * lie at vaddr. Entries that make no sense end the walk. A return of fn other than 0 ends it too
 * and is returned.
 */
int ehframe_each(const uint8_t *data, size_t len, uint64_t vaddr,
		 int (*fn)(uint64_t start, uint64_t end, bool has_lsda, void *ctx), void *ctx);

/* Where .eh_frame lies, read from .eh_frame_hdr at hdr_vaddr; 0 if it does not say. */
uint64_t ehframe_from_hdr(const uint8_t *hdr, size_t len, uint64_t hdr_vaddr);

#endif
