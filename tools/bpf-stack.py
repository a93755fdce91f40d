#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stack of the BPF programs: the deepest chain of calls of each, against what kernels allow.

usage: bpf-stack.py OBJECT [-v]      OBJECT: a linked BPF object, e.g. build/bpf/luamemtrace.o

Before Linux 6.13, and where a program has a tail call (share_no_stack() in bpf/hit.bpf.h), all calls of a
program share 512 bytes; each frame is rounded up to 32 (round_up_stack_depth() in kernel/bpf/verifier.c;
newer kernels round to 16). At most eight frames may be nested. Fails where a chain takes more. -v: the
frames of all functions, largest first.
"""
import struct
import sys

LIMIT, ROUND, NESTED = 512, 32, 8
SHT_SYMTAB, SHT_REL, STT_FUNC = 2, 9, 2
FP = 10  # the register that points to the frame


class Object:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        at, = struct.unpack_from("<Q", self.data, 40)
        size, n, names = struct.unpack_from("<HHH", self.data, 58)
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", self.data, at + i * size) for i in range(n)]
        self.names = [self.text(names, s[0]) for s in self.sections]
        self.symbols = self.read_symbols()
        self.targets = {(s[7], offset): self.symbols[info >> 32]
                        for s in self.sections if s[1] == SHT_REL
                        for offset, info in struct.iter_unpack("<QQ", self.bytes_of(s))}
        self.functions = {(s[2], s[3]): s for s in self.symbols if s[1] == STT_FUNC and s[2]}

    def bytes_of(self, section):
        return self.data[section[4]:section[4] + section[5]]

    def text(self, section, at):
        start = self.sections[section][4] + at
        return self.data[start:self.data.index(b"\0", start)].decode()

    def read_symbols(self):  # (name, type, section, value, size)
        table = next(s for s in self.sections if s[1] == SHT_SYMTAB)
        return [(self.text(table[6], name), info & 15, section, value, size)
                for name, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", self.bytes_of(table))]

    def instructions(self, function):
        _, _, section, start, size = function
        base = self.sections[section][4]
        for at in range(start, start + size, 8):
            op, regs, off, imm = struct.unpack_from("<BBhi", self.data, base + at)
            yield at, op, regs & 15, regs >> 4, off, imm

    def callee(self, section, at, imm):
        symbol = self.targets.get((section, at))
        if symbol and symbol[1] == STT_FUNC:
            return symbol[2], symbol[3]
        return (symbol[2], (imm + 1) * 8) if symbol else (section, at + 8 + imm * 8)


def look_at(obj, function):
    """Bytes of its frame, and whom it calls."""
    frame, calls, copies = 0, set(), set()  # copies: registers that hold the frame pointer
    for at, op, dst, src, off, imm in obj.instructions(function):
        kind = op & 7
        if (kind in (2, 3) and dst == FP) or (kind == 1 and src == FP):  # a store; a load
            frame = max(frame, -off)
        if op == 0x07 and dst in copies:  # the address of something in the frame
            frame = max(frame, -imm)
        if kind in (0, 1, 4, 7):
            copies.discard(dst)
        if op == 0xbf and src == FP:
            copies.add(dst)
        if op == 0x85:
            copies -= {0, 1, 2, 3, 4, 5}
            if src == 1:
                calls.add(obj.callee(function[2], at, imm))
    return frame, calls


def main():
    obj = Object(sys.argv[1])
    seen = {key: look_at(obj, f) for key, f in obj.functions.items()}

    def deepest(key):
        frame, calls = seen[key]
        depth, chain = max((deepest(c) for c in calls if c in seen), default=(0, []))
        return (max(frame, 1) + ROUND - 1) // ROUND * ROUND + depth, [f"{obj.functions[key][0]}({frame})"] + chain

    bad = False
    for key in sorted(obj.functions):
        if obj.names[key[0]] == ".text":
            continue
        depth, chain = deepest(key)
        wrong = depth > LIMIT or len(chain) > NESTED
        bad |= wrong
        print(f"#  {obj.functions[key][0]:<16} {depth:4} of {LIMIT}  {' > '.join(chain)}{'  TOO DEEP' if wrong else ''}")
    if "-v" in sys.argv:
        for key, (frame, _) in sorted(seen.items(), key=lambda item: -item[1][0]):
            print(f"#  {frame:4} {obj.functions[key][0]}")
    if bad:
        print("BPF programs take more stack than kernels before 6.13 allow: see bpf/hit.bpf.h")
    return bad


if __name__ == "__main__":
    sys.exit(main())
