#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Damages the heap of a process that rests, word by word, for the census to refuse.

usage: damage.py PID SEED WORDS
"""
import os
import random
import sys

pid, seed, words = (int(a) for a in sys.argv[1:4])
random.seed(seed)
areas = []
with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
    for line in maps:
        column = line.split()
        # Not what libraries map: the heap of C, and LuaJIT's own, which has no name.
        if column[1] == "rw-p" and (column[5:] == ["[heap]"] or column[5:] == []):
            areas.append([int(a, 16) for a in column[0].split("-")])
mem = os.open(f"/proc/{pid}/mem", os.O_RDWR)
done = 0
while done < words:
    start, end = random.choice(areas)
    at = random.randrange(start, end, 8)
    old = int.from_bytes(os.pread(mem, 8, at), "little")
    if not old:
        continue
    new = random.choice([random.getrandbits(64), old ^ 1 << random.randrange(64),
                         random.randrange(start, end, 8), 2 ** 64 - 1])
    os.pwrite(mem, new.to_bytes(8, "little"), at)
    done += 1
