/* SPDX-License-Identifier: MIT */
/*
 * corrupt-chunk: the word that LuaJIT's allocator keeps before a block was overwritten. Seen when
 * the block is freed, before the allocator believes the word.
 */
#include "detect.h"

#include <ctype.h>
#include <stdio.h>

/* The damaged word as text, which often names who wrote it; "" when it is none. */
static const char *as_text(uint64_t head, char *buf, size_t size)
{
	size_t n = 0;

	for (int i = 0; i < 8 && n + 1 < size; i++) {
		unsigned char c = (unsigned char)(head >> 8 * i);

		if (!c)
			break;
		if (!isprint(c))
			return "";
		buf[n++] = (char)c;
	}
	buf[n] = 0;
	return n >= 4 ? buf : "";
}

void detect_corrupt_chunk(struct findings *fs, const struct noticed *n)
{
	struct finding *f = finding_of_noticed(fs, FINDING_CORRUPT_CHUNK, n);
	char buf[16];
	const char *text;

	if (!f)
		return;
	text = as_text(n->e->arg[0], buf, sizeof(buf));
	f->severity = SEVERITY_FATAL;
	f->confidence = CONFIDENCE_CERTAIN;
	evidence_address(f, "ptr", n->e->ptr);
	evidence_address(f, "head", n->e->arg[0]);
	evidence_number(f, "osize", n->e->osize);
	evidence_text(fs, f, "head_text", text);
	evidence_text(fs, f, "caller_module", n->caller.module);
	evidence_stack(f, "alloc", &n->alloc_frame, n->alloc_stack);
	finding_say(fs, f, n->e->arg[1]
		    ? "somebody wrote past the end of a block of %llu bytes, over the allocator's own header "
		      "of the next one (0x%llx%s%s%s)"
		    : "the allocator's own header of a block of %llu bytes was overwritten (0x%llx%s%s%s): "
		      "somebody wrote past the end of the block before it, or into memory that was freed",
		    (unsigned long long)n->e->osize, (unsigned long long)n->e->arg[0],
		    *text ? ", as text \"" : "", text, *text ? "\"" : "");
	finding_advise(fs, f, "see the use-after-free findings of this state, if any; else look for the text in "
		       "what your FFI or C code writes, and check those buffers' lengths and lifetimes");
}
