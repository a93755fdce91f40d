#!/usr/bin/env python3
# Functions above 70 lines and files above 600 fail: what is not seen at once is not checked at once.
# SPDX-License-Identifier: MIT
"""Usage: check-fnlen.py [-v] FILE…

Goes by the kernel style that .clang-format keeps: a function's braces stand alone in the first
column. From the opening to the closing brace it may have 70 lines. A table in code or a flat
switch is let off by a comment with its reason right above the function:

	/* fnlen: one row for each opcode */

-v also prints the median and the longest functions.
"""
import re
import sys

MAX_FUNCTION = 70
MAX_FILE = 600
EXEMPT = re.compile(r"/\* fnlen: \S.*\*/|^ \* fnlen: \S")


def head_of(lines, brace):
    """The lines of the signature and of the comment right above a function."""
    first = brace
    while first and lines[first - 1].strip():
        first -= 1
    return lines[first:brace]


def name_of(head):
    signature = " ".join(line for line in head if not line.startswith((" *", "/*", "#")))
    found = re.search(r"([A-Za-z_]\w*)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", signature))
    return found.group(1) if found else "?"


def functions(lines):
    """Yields (name, line number, lines, exempt)."""
    start = None
    for i, line in enumerate(lines):
        if line == "{":
            start = i
        elif line == "}" and start is not None:
            head = head_of(lines, start)
            exempt = any(EXEMPT.search(text) for text in head)
            yield name_of(head), start + 1, i - start + 1, exempt
            start = None


def main(argv):
    verbose = argv[:1] == ["-v"]
    paths = argv[1:] if verbose else argv
    if not paths:
        sys.exit(__doc__)
    bad = 0
    sizes = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")[:-1]
        if len(lines) > MAX_FILE:
            print(f"{path}: {len(lines)} lines, at most {MAX_FILE}: split it by purpose")
            bad += 1
        for name, at, size, exempt in functions(lines):
            sizes.append((size, f"{path}:{at}: {name}"))
            if size > MAX_FUNCTION and not exempt:
                print(f"{path}:{at}: {name}() has {size} lines, at most {MAX_FUNCTION}: "
                      "split it, or say why not in a comment 'fnlen: reason'")
                bad += 1
    if verbose and sizes:
        sizes.sort()
        print(f"{len(sizes)} functions, median {sizes[len(sizes) // 2][0]} lines")
        for size, where in sizes[-5:]:
            print(f"{size:4} {where}")
    return 1 if bad else 0


sys.exit(main(sys.argv[1:]))
