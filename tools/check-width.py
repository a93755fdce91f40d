#!/usr/bin/env python3
"""No line is wider than 100 columns, tabs being 8. A line with a string may be: messages are not broken up.

usage: tools/check-width.py FILE...     prints each breach and fails
"""
# SPDX-License-Identifier: MIT
import sys

LIMIT = 100
bad = 0

for path in sys.argv[1:]:
    with open(path, encoding='utf-8') as f:
        for number, line in enumerate(f, 1):
            width = len(line.rstrip('\n').expandtabs(8))
            if width > LIMIT and '"' not in line:
                print(f'{path}:{number}: {width} columns, at most {LIMIT}')
                bad = 1
sys.exit(bad)
