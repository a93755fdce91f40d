/* SPDX-License-Identifier: MIT. build: -m32 -nostdlib -static */
/* A 32-bit program that waits for a signal; needs no 32-bit library. */
	.globl _start
_start:
	movl $29, %eax /* pause */
	int $0x80
	jmp _start
	.section .note.GNU-stack,"",@progbits
