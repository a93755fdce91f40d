#!/usr/bin/env python3
"""Decodes a gzipped profile.proto without any library; prints what a test compares.

SPDX-License-Identifier: MIT
usage: pprof-totals.py FILE: sample types, then the sum of each, as one JSON object
"""
import gzip
import json
import sys


def varint(b, i):
    v = shift = 0
    while True:
        v |= (b[i] & 0x7F) << shift
        shift += 7
        i += 1
        if not b[i - 1] & 0x80:
            return v, i


def fields(b):
    i = 0
    while i < len(b):
        key, i = varint(b, i)
        if key & 7 == 0:
            v, i = varint(b, i)
        elif key & 7 == 2:
            n, i = varint(b, i)
            v, i = b[i:i + n], i + n
            if len(v) != n:
                raise ValueError("cut off")
        else:
            raise ValueError("wire type %d" % (key & 7))
        yield key >> 3, v


def packed(b):
    out, i = [], 0
    while i < len(b):
        v, i = varint(b, i)
        out.append(v)
    return out


def main():
    top = {}
    for k, v in fields(gzip.open(sys.argv[1]).read()):
        top.setdefault(k, []).append(v)
    strings = [s.decode("utf-8") for s in top[6]]
    assert strings[0] == ""
    functions = {dict(fields(f))[1]: dict(fields(f)) for f in top[5]}
    locations = {}
    for loc in top[4]:
        d = dict(fields(loc))
        line = dict(fields(d[4]))
        assert line[1] in functions
        locations[d[1]] = strings[functions[line[1]][2]]
    types = [strings[dict(fields(t))[1]] for t in top[1]]
    sums = [0] * len(types)
    depth = 0
    for s in top.get(2, []):
        d = dict(fields(s))
        ids = packed(d[1])
        depth = max(depth, len(ids))
        assert all(i in locations for i in ids)
        for i, v in enumerate(packed(d[2])):
            sums[i] += v
    assert len(set(locations)) == len(top[4])
    print(json.dumps({"types": types, "default": strings[top[14][0]], "period": top[12][0],
                      "sums": dict(zip(types, sums)), "depth": depth,
                      "build_ids": [strings[dict(fields(m)).get(6, 0)] for m in top.get(3, [])],
                      "functions": sorted(strings[f[2]] for f in functions.values())}))


main()
