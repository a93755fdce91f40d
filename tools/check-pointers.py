#!/usr/bin/env python3
"""What comments and documents point at is there: files, sections in quotes, file:function.

usage: tools/check-pointers.py     prints each dead pointer and fails
"""
# SPDX-License-Identifier: MIT
import re
import subprocess
import sys
from pathlib import Path

ROOMS = [p.name for p in Path('user').iterdir() if p.is_dir()]
# What begins so is ours; anything else may be a file of Lua or of the kernel.
OURS = re.compile(r'(?<![\w/.])((?:user/|)(?:%s)|bpf|tests|tools|docs)/([\w./-]*\w\.(?:c|h|py|sh|tsv|md|sql|lua))'
                  r'(?!\w)(?::([a-z_]\w*))?' % '|'.join(ROOMS))
BARE_MD = re.compile(r'(?<![\w/.$])((?:[\w-]+/)*[A-Z][A-Z-]+\.md)')
SECTION = re.compile(r'([\w/-]+\.md), "([^"]+)"')

bad = 0


def dead(path, line, what):
    global bad
    print(f'{path}:{line}: {what}')
    bad = 1


def find(name, path):
    """The file a name stands for: from the root, from user/, or from beside who names it."""
    for base in (Path('.'), Path('user'), path.parent, Path('docs')):
        if (base / name).is_file():
            return base / name
    return None


def check_line(path, number, line):
    if line.startswith('#include <') or 'need_header' in line:
        return
    for m in OURS.finditer(line):
        name = f'{m[1]}/{m[2]}'
        if any(c in name for c in '*{') or 'X' in Path(name).stem:
            continue  # a pattern, or "what you call it"
        to = find(name, path)
        if not to:
            dead(path, number, f"there is no '{name}'")
        elif m[3] and not re.search(r'\b%s\b\s*\(' % m[3], to.read_text()):
            dead(path, number, f"there is no {m[3]}() in '{name}'")
    for m in BARE_MD.finditer(line):
        if not find(m[1], path):
            dead(path, number, f"there is no '{m[1]}'")
    for m in SECTION.finditer(line):
        to = find(m[1], path)
        if to and not re.search(r'^#+ %s$' % re.escape(m[2]), to.read_text(), re.M):
            dead(path, number, f"'{m[1]}' has no section \"{m[2]}\"")


def main():
    files = subprocess.run(['git', 'ls-files', '--cached', '--others', '--exclude-standard', '*.[ch]', '*.sh',
                            '*.py', '*.md', '*.8', '*.5', 'Makefile'],
                           capture_output=True, text=True, check=True).stdout.split()
    for f in files:
        path = Path(f)
        if path.is_file() and not path.is_symlink() and path.name != 'check-pointers.py':
            for number, line in enumerate(path.read_text().splitlines(), 1):
                check_line(path, number, line)
    return bad


sys.exit(main())
