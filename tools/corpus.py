#!/usr/bin/env python3
"""Holds the resolver against binaries whose symbols are known.

usage: corpus.py [-v] [--markdown] [--resolver PROGRAM] BINARY|FOLDER…

Each binary must have a symbol table. A stripped twin without exports of its own is resolved, and
every answer compared with the table: right, wrong, missing (it exists out of line and was not
found), absent (it was inlined away, and no answer was given). Exit status 1 if any is wrong.
"""
# SPDX-License-Identifier: MIT
import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUFFIX = re.compile(r"\.(constprop|isra|lto_priv|part|localalias)\.?\d*")
MANGLED = re.compile(r"^_Z(?:L|N|ZN)?(\d+)(\w+)")


def plain(name):
    """The name as the source has it; None for a part split off as cold."""
    if ".cold" in name:
        return None
    name = SUFFIX.sub("", name)
    m = MANGLED.match(name)
    if m:
        name = m.group(2)[: int(m.group(1))]
    return name


STUB_MAX = 0x40  # with 32-bit references LuaJIT's export only prints a complaint
ALIAS = {
    "luaL_alloc": "l_alloc",  # 5.5 exports it
    "lj_state_newstate": "lua_newstate",  # 32-bit references: the export is a stub
}


def truth(path):
    """Function → set of addresses. The table may be in a file of its own, PATH.debug."""
    debug = path + ".debug"
    out = subprocess.run(["nm", "-S", debug if os.path.exists(debug) else path], capture_output=True,
                         text=True, check=True).stdout
    names = collections.defaultdict(set)
    for line in out.splitlines():
        f = line.split()
        if len(f) in (3, 4) and f[-2] in "tTrRdDwWbB":
            name = ALIAS.get(plain(f[-1]), plain(f[-1]))
            stub = name == "lua_newstate" and len(f) == 4 and int(f[1], 16) < STUB_MAX
            if name and not stub:
                names[name].add(int(f[0], 16))
    return names


def strip(path, folder):
    out = os.path.join(folder, os.path.basename(path))
    subprocess.run(["strip", "-o", out, path], check=True)
    return out


def answers(resolver, path):
    """Function → (address or None, method or reason); None when it finds no Lua."""
    run = subprocess.run([resolver, path], capture_output=True, text=True)
    got = {}
    ms = ""
    for line in run.stdout.splitlines():
        _, name, addr, how = line.split("\t")
        if name == "#":
            ms = how
        elif name not in "-!":
            got[name] = (None if addr == "-" else int(addr, 16), how)
    return got, ms


def verdict(name, addr, why, known):
    there = known.get(name, set())
    if addr is None:
        if not there:
            return "absent"
        return "missing"
    return "right" if addr in there else "wrong"


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("-v", action="store_true")
    ap.add_argument("--markdown", action="store_true")
    ap.add_argument("--resolver", default=os.path.join(ROOT, "build/tests/tools/resolve_file"))
    ap.add_argument("paths", nargs="+")
    o = ap.parse_args()
    files = []
    for p in o.paths:
        files += [os.path.join(p, f) for f in sorted(os.listdir(p))
                  if not f.endswith(".debug")] if os.path.isdir(p) else [p]
    table = collections.defaultdict(collections.Counter)
    bad = 0
    with tempfile.TemporaryDirectory() as tmp:
        for path in files:
            known = truth(path)
            twin = strip(path, tmp)
            got, ms = answers(o.resolver, twin)
            os.unlink(twin)
            if not got:
                print(f"{os.path.basename(path)}: no Lua found", file=sys.stderr)
                bad += 1
            for name, (addr, how) in got.items():
                v = verdict(name, addr, how, known)
                table[name][v] += 1
                bad += v == "wrong"
                if v in ("wrong", "missing") or o.v:
                    at = [hex(a) for a in sorted(known.get(name, ()))]
                    print(f"{v:8} {os.path.basename(path):32} {name:20} "
                          f"{hex(addr) if addr else '-'} [{how}] known {' '.join(at)}",
                          file=sys.stderr)
    total = collections.Counter()
    if o.markdown:
        print("| function | right | wrong | missing | inlined away |\n|---|---|---|---|---|")
    for name, c in table.items():
        total.update(c)
        row = [c["right"], c["wrong"], c["missing"], c["absent"]]
        print(("| `{}` | {} | {} | {} | {} |" if o.markdown else "{:20} {:5} {:5} {:5} {:5}")
              .format(name, *row))
    print(f"\n{len(files)} files: {total['right']} right, {total['wrong']} wrong, "
          f"{total['missing']} missing, {total['absent']} inlined away")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
