#!/usr/bin/env python3
"""Makes a row of user/resolve/layouts/*.tsv from the sources of one Lua, by compiling them.

usage: layout-from-dwarf.py [--cflags FLAGS] puc|luajit BASE_ID SOURCE_FOLDER [COLUMN=TEXT…]

Every offset and size is read back from debug information (gdb); BASE_ID is the row whose names,
constants and texts are kept where no debug information can tell them. The row goes to stdout,
what differs from the base to stderr. Without COLUMN=TEXT it only compares.
"""
# SPDX-License-Identifier: MIT
import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEXTS = {"id", "family", "versions", "upstream_history", "releases", "openresty_tags", "packages",
         "version_num", "builds", "ver", "gc64", "fr2"}
STRUCTS = {
    "puc": {"L": "lua_State", "G": "global_State", "ci": "CallInfo", "P": "Proto", "T": "Table",
            "S": "TString", "U": "Udata", "UV": "UpVal"},
    "luajit": {"L": "lua_State", "g": "global_State", "GG": "GG_State", "J": "jit_State",
               "pt": "GCproto", "fn": "GCfuncL", "fnC": "GCfuncC", "t": "GCtab", "node": "Node",
               "s": "GCstr", "u": "GCudata", "cd": "GCcdata", "cdv": "GCcdataVar",
               "tr": "GCtrace", "snap": "SnapShot", "uv": "GCupval"},
}
# What a member is called where it is not called as its column.
OTHER_NAMES = {
    "G.totalbytes": ["GCtotalbytes"], "G.allgc": ["rootgc"], "G.GCestimate": ["estimate"],
    "G.gcstp": ["gcrunning"], "G.mainthread": ["mainth"], "L.env": ["l_gt"],
    "ci.savedpc": ["u.l.savedpc"], "T.sizearray": ["alimit", "asize"],
    "S.len": ["tsv.len", "u.lnglen"], "S.hnext": ["u.hnext"], "UV.v": ["v.p"],
    "P.linedefined": ["linedefined", "lineDefined"], "L.top": ["top.p"], "L.stack": ["stack.p"],
    "L.stack_last": ["stack_last.p"], "ci.func": ["func.p"], "ci.top": ["top.p"],
}
PUC_UNIT = '#include "lstate.c"\n#include "lfunc.h"\n#include "lopcodes.h"\n#include "ldebug.h"\n'
LJ_UNIT = "".join(f'#include "{h}.h"\n' for h in (
    "lj_obj", "lj_gc", "lj_frame", "lj_bc", "lj_ctype", "lj_cdata", "lj_jit", "lj_dispatch",
    "lj_ir", "lj_vm"))


def compile_unit(kind, src, cflags, folder):
    unit = os.path.join(folder, "unit.c")
    obj = os.path.join(folder, "unit.o")
    with open(unit, "w", encoding="ascii") as f:
        f.write(PUC_UNIT if kind == "puc" else LJ_UNIT)
    subprocess.run(["gcc", "-w", "-g", "-fno-eliminate-unused-debug-types", "-DLUA_USE_POSIX",
                    *cflags, "-I", src, "-c", unit, "-o", obj], check=True)
    return obj


def candidates(kind, column):
    """Expressions for a column: (offset expression, size expression)."""
    prefix, _, member = column.partition(".")
    if prefix == "sizeof":
        return [(f"sizeof({member})", None)]
    if prefix == "K":
        return [(f"(long){member}", None)]
    struct = STRUCTS[kind].get(prefix, prefix)
    names = OTHER_NAMES.get(column, []) + [member]
    return [(f"(long)&(({struct} *)0)->{n}", f"sizeof((({struct} *)0)->{n})") for n in names]


def evaluate(obj, wanted):
    """Asks gdb all at once; what it cannot evaluate is missing from the answer."""
    script = ["import gdb"]
    for key, expr in wanted:
        script.append(f"try: print('=', {key!r}, int(gdb.parse_and_eval({expr!r})))\n"
                      "except gdb.error: pass")
    with tempfile.NamedTemporaryFile("w", suffix=".py") as f:
        f.write("\n".join(script))
        f.flush()
        out = subprocess.run(["gdb", "-nx", "-batch", "-x", f.name, obj], capture_output=True,
                             text=True, check=True).stdout
    return {m.group(1): int(m.group(2)) for m in re.finditer(r"^= (\S+) (-?\d+)$", out, re.M)}


def cells(kind, columns, obj):
    wanted = []
    for c in columns:
        if c in TEXTS:
            continue
        for i, (off, size) in enumerate(candidates(kind, c)):
            wanted.append((f"{c}|{i}|o", off))
            if size:
                wanted.append((f"{c}|{i}|s", size))
    got = evaluate(obj, wanted)
    row = {}
    for c in columns:
        for i in range(3):
            if c not in row and f"{c}|{i}|o" in got:
                size = got.get(f"{c}|{i}|s")
                row[c] = str(got[f"{c}|{i}|o"]) + (f":{size}" if size else "")
    return row


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--cflags", default="")
    ap.add_argument("kind", choices=["puc", "luajit"])
    ap.add_argument("base")
    ap.add_argument("src")
    ap.add_argument("texts", nargs="*")
    o = ap.parse_args()
    table = os.path.join(ROOT, f"user/resolve/layouts/{o.kind}.tsv")
    with open(table, encoding="utf-8") as f:
        reader = csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE)
        columns = reader.fieldnames
        base = next(r for r in reader if r["id"] == o.base)
    with tempfile.TemporaryDirectory() as tmp:
        got = cells(o.kind, columns, compile_unit(o.kind, o.src, o.cflags.split(), tmp))
    if o.kind == "luajit" and "GG.g" in got:
        delta = int(got["GG.g"].split(":")[0])
        got["g_minus_L"] = str(delta)
        got["word_delta"] = str(delta - int(got["L.glref"].split(":")[0]))
        got["block.size"] = got["sizeof.GG_State"]
    row = {**base, **{k: v for k, v in got.items() if base[k] != "-" or ":" in v}}
    for k in columns:
        if row[k] != base[k]:
            print(f"{k}: {base[k]} → {row[k]}", file=sys.stderr)
    row.update(t.split("=", 1) for t in o.texts)
    if o.texts:
        print("\t".join(row[c] for c in columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
