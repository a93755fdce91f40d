/* SPDX-License-Identifier: MIT */
/*
 * embed: a file of the source tree as a string of the program. L0 base. The object depends on the
 * file by a rule of the Makefile.
 */
#ifndef LMT_BASE_EMBED_H
#define LMT_BASE_EMBED_H

#define EMBED(symbol, path)                                                  \
	__asm__(".section .rodata\n.global " #symbol "\n" #symbol ":\n"       \
		".incbin \"" path "\"\n.byte 0\n.previous\n");                \
	extern const char symbol[]

#endif
