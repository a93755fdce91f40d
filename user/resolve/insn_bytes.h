/* SPDX-License-Identifier: MIT */
/*
 * insn_bytes: what the bytes of an instruction say by themselves, whichever library decodes the
 * rest. L2 resolve. Pure.
 */
#ifndef LMT_RESOLVE_INSN_BYTES_H
#define LMT_RESOLVE_INSN_BYTES_H

#include <stdint.h>
#include <string.h>

#include "insn.h"

/*
 * What arch/x86/kernel/uprobes.c can run without a second trap (push_setup_xol_ops,
 * branch_setup_xol_ops; Linux 6.1 to 6.18): push of a whole register, short and near branches,
 * nop; newer kernels also the canonical long nops. A 66 prefix disqualifies all but nops.
 */
static inline enum insn_emulation insn_emulation_of(const uint8_t *b, size_t len)
{
	static const uint8_t nopl[] = { 0x0f, 0x1f };

	if ((len == 1 && (b[0] & 0xf8) == 0x50) ||
	    (len == 2 && b[0] == 0x41 && (b[1] & 0xf8) == 0x50))
		return EMU_PUSH;
	if (b[0] == 0xeb || b[0] == 0xe9)
		return EMU_JMP;
	if ((b[0] & 0xf0) == 0x70 || (len == 6 && b[0] == 0x0f && (b[1] & 0xf0) == 0x80))
		return EMU_JCC;
	if (b[0] == 0xe8)
		return EMU_CALL;
	if (len == 1 && b[0] == 0x90)
		return EMU_NOP1;
	return len == 5 && !memcmp(b, nopl, 2) ? EMU_NOPL : EMU_NONE;
}

static inline uint8_t insn_condition_of(const uint8_t *b, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		if ((b[i] & 0xf0) == 0x70)
			return b[i] & 0x0f;
		if (b[i] == 0x0f)
			return b[i + 1] & 0x0f;
	}
	return 0;
}

#endif
