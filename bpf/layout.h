/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * layout: where the members of Lua's objects lie in one build of Lua. Contract header, read by
 * both sides. Must not know which process uses it.
 *
 * One list, three uses: this struct, the columns read from user/resolve/layouts/ (by name) and
 * the dump of `doctor -v`. PUC Lua and LuaJIT share a row where the member means the same; a
 * member that a build lacks is LMT_OFF_NONE and must be tested before use.
 *
 *	X(field, column in puc.tsv, column in luajit.tsv, meaning)
 */
#ifndef LMT_BPF_LAYOUT_H
#define LMT_BPF_LAYOUT_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define LMT_OFF_NONE (-1)

/* A member: offset and width in bytes. A plain number (sizeof, constant, tag): off only. */
struct lmt_cell {
	__s32 off;
	__u32 size;
};

#define LMT_LAYOUT_FIELDS(X)                                                                    \
	/* both: the state and its allocator */                                                 \
	X(g_minus_L, "g_minus_L", "g_minus_L", "global_State minus main lua_State")             \
	X(word_delta, "word_delta", "word_delta", "g_minus_L minus offset of L_glob")           \
	X(block_size, "block.size", "block.size", "bytes asked for a new state")                \
	X(block_L, "block.L", "GG.L", "main lua_State in that block")                           \
	X(size_L, "sizeof.lua_State", "sizeof.lua_State", "")                                   \
	X(size_G, "sizeof.global_State", "sizeof.global_State", "")                             \
	X(L_tag, "L.tt", "L.gct", "type tag of a thread")                                       \
	X(L_status, "L.status", "L.status", "0 unless yielded or dead")                         \
	X(L_glob, "L.l_G", "L.glref", "thread to global_State")                                 \
	X(L_top, "L.top", "L.top", "")                                                          \
	X(L_stack, "L.stack", "L.stack", "")                                                    \
	X(L_base, "L.base", "L.base", "LuaJIT: frame of the running function")                  \
	X(G_alloc, "G.frealloc", "g.allocf", "the allocator callback")                          \
	X(G_ud, "G.ud", "g.allocd", "its first argument")                                       \
	X(G_total, "G.totalbytes", "g.gc.total", "heap bytes as the VM counts")                 \
	X(G_white, "G.currentwhite", "g.gc.currentwhite", "flips once a GC cycle")              \
	X(G_gcstate, "G.gcstate", "g.gc.state", "")                                             \
	X(G_main, "G.mainthread", "g.mainthref", "global_State to main thread")                 \
	X(G_registry, "G.l_registry", "g.registrytv", "TValue of the registry")                 \
	X(K_pause, "K.GCSpause", "K.GCSpause", "gcstate between cycles")                        \
	X(G_estimate, "G.GCestimate", "g.gc.estimate", "heap after the latest full collection")  \
	X(G_kind, "G.gckind", "", "how the collector works; 5.1: always incremental")           \
	X(G_stop, "G.gcstp", "", "the program has stopped the collector; see states.c")         \
	X(G_threshold, "G.GCthreshold", "g.gc.threshold", "heap at which it goes on; later debt") \
	X(size_str, "sizeof.TString", "sizeof.GCstr", "")                                       \
	X(S_len, "S.len", "s.len", "length of a (long) string")                                 \
	X(size_node, "sizeof.Node", "sizeof.Node", "")                                          \
	X(size_tab, "sizeof.Table", "sizeof.GCtab", "")                                         \
	X(T_array, "T.array", "t.array", "")                                                    \
	X(T_node, "T.node", "t.node", "")                                                       \
	X(T_meta, "T.metatable", "t.metatable", "")                                             \
	X(size_proto, "sizeof.Proto", "sizeof.GCproto", "LuaJIT: the bytecode follows")         \
	X(P_source, "P.source", "pt.chunkname", "")                                             \
	X(P_lineinfo, "P.lineinfo", "pt.lineinfo", "")                                          \
	X(P_sizecode, "P.sizecode", "pt.sizebc", "instructions")                                \
	X(P_k, "P.k", "pt.k", "constants")                                                      \
	X(P_line, "P.linedefined", "pt.firstline", "")                                          \
	/* PUC Lua */                                                                           \
	X(L_ci, "L.ci", "", "running CallInfo")                                                 \
	X(L_base_ci, "L.base_ci", "", "5.1: pointer to the array; later the embedded first one") \
	X(L_savedpc, "L.savedpc", "", "5.1: pc of the top frame")                               \
	X(L_stack_last, "L.stack_last", "", "")                                                 \
	X(G_debt, "G.GCdebt", "", "to be added to G_total (5.5: subtracted)")                   \
	X(G_hash, "G.strt.hash", "", "string table")                                            \
	X(G_nuse, "G.strt.nuse", "", "")                                                        \
	X(G_strsize, "G.strt.size", "", "")                                                     \
	X(G_version, "G.version", "", "5.2, 5.3: points at a double")                           \
	X(G_allgc, "G.allgc", "", "")                                                           \
	X(G_tmname, "G.tmname", "", "names of the metamethods, __index first")                  \
	X(P_sp, "P.sp", "", "skynet: code and lines are in a shared prototype")                 \
	X(size_ci, "sizeof.CallInfo", "", "")                                                   \
	X(ci_func, "ci.func", "", "stack slot of the function")                                 \
	X(ci_prev, "ci.previous", "", "5.1: none, CallInfos are an array")                      \
	X(ci_pc, "ci.savedpc", "", "")                                                          \
	X(ci_status, "ci.callstatus", "", "")                                                   \
	X(ci_tailcalls, "ci.tailcalls", "", "5.1: calls that were replaced by tail calls")      \
	X(K_CIST_TAIL, "K.CIST_TAIL", "", "callstatus: was tail called")                        \
	X(K_CIST_LUA, "K.CIST_LUA", "", "5.2, 5.3: the call runs Lua code")                     \
	X(K_CIST_C, "K.CIST_C", "", "5.4+: it does not")                                        \
	X(LCL_p, "LClosure.p", "", "")                                                          \
	X(CCL_isC, "CClosure.isC", "", "5.1, 5.2.0: tells C from Lua closures")                 \
	X(CCL_f, "CClosure.f", "", "")                                                          \
	X(CCL_upvalue, "CClosure.upvalue", "", "the first of them")                             \
	X(P_code, "P.code", "", "")                                                             \
	X(K_CIST_HOOKED, "K.CIST_HOOKED", "", "callstatus: runs a debug hook")                  \
	X(P_sizek, "P.sizek", "", "")                                                           \
	X(P_locvars, "P.locvars", "", "")                                                       \
	X(P_sizelocvars, "P.sizelocvars", "", "")                                               \
	X(P_upvalues, "P.upvalues", "", "")                                                     \
	X(P_sizeupvalues, "P.sizeupvalues", "", "")                                             \
	X(P_abslineinfo, "P.abslineinfo", "", "5.4+: every so often an absolute line")          \
	X(P_sizelineinfo, "P.sizelineinfo", "", "")                                             \
	X(P_sizeabslineinfo, "P.sizeabslineinfo", "", "")                                       \
	X(T_lsizenode, "T.lsizenode", "", "")                                                   \
	X(T_sizearray, "T.sizearray", "", "")                                                   \
	X(S_contents, "S.contents", "", "5.4+: first byte of the text")                         \
	X(S_shrlen, "S.shrlen", "", "5.3.1+: length of a short string")                         \
	X(tag_shrstr, "tag.shrstr", "", "")                                                     \
	X(tag_lcl, "tag.lcl", "", "Lua closure")                                                \
	X(tag_ccl, "tag.ccl", "", "C closure")                                                  \
	X(tag_lcf, "tag.lcf", "", "light C function, by value")                                 \
	X(K_proto, "K.LUA_TPROTO", "", "allocation tag of a prototype")                         \
	/* LuaJIT */                                                                            \
	X(gc64, "", "gc64", "1: references are 8 bytes")                                        \
	X(fr2, "", "fr2", "1: a frame takes two slots")                                         \
	X(L_dummy_ffid, "", "L.dummy_ffid", "1 in a thread")                                    \
	X(L_cframe, "", "L.cframe", "innermost C frame, two flag bits")                         \
	X(size_GG, "", "sizeof.GG_State", "")                                                   \
	X(GG_G, "", "GG.g", "")                                                                 \
	X(GG_J, "", "GG.J", "jit_State")                                                        \
	X(GG_dispatch, "", "GG.dispatch", "pointers into the interpreter")                      \
	X(G_strtab, "", "g.str.tab", "")                                                        \
	X(G_strmask, "", "g.str.mask", "")                                                      \
	X(G_strnum, "", "g.str.num", "")                                                        \
	X(G_strempty, "", "g.strempty", "a string inside global_State")                         \
	X(G_root, "", "g.gc.root", "")                                                          \
	X(G_cur_L, "", "g.cur_L", "running thread")                                             \
	X(G_jit_base, "", "g.jit_base", "not 0 while in machine code")                          \
	X(G_vmstate, "", "g.vmstate", "trace number, or ~what the VM does")                     \
	X(fn_ffid, "", "fn.ffid", "0 Lua, 1 C, more: built in")                                 \
	X(fn_pc, "", "fn.pc", "bytecode, hence the prototype")                                  \
	X(fnC_f, "", "fnC.f", "of a C function")                                                \
	X(P_numline, "", "pt.numline", "")                                                      \
	X(G_ctype_state, "", "g.ctype_state", "not 0 once the FFI library is loaded")            \
	X(J_parent, "", "J.parent", "trace that was left last")                                 \
	X(J_exitno, "", "J.exitno", "and by which exit")                                        \
	X(P_uvinfo, "", "pt.uvinfo", "names of upvalues")                                       \
	X(P_varinfo, "", "pt.varinfo", "names of local variables")                              \
	X(J_trace, "", "J.trace", "array of references to traces")                              \
	X(J_sizetrace, "", "J.sizetrace", "")                                                   \
	X(tr_mcode, "", "tr.mcode", "")                                                         \
	X(tr_szmcode, "", "tr.szmcode", "")                                                     \
	X(tr_spadjust, "", "tr.spadjust", "stack a trace takes")                                \
	X(tr_nsnap, "", "tr.nsnap", "")                                                         \
	X(tr_snap, "", "tr.snap", "")                                                           \
	X(tr_snapmap, "", "tr.snapmap", "")                                                     \
	X(tr_nk, "", "tr.nk", "reference of its first constant")                                \
	X(tr_ir, "", "tr.ir", "biased: indexed by reference")                                   \
	X(tr_startpt, "", "tr.startpt", "")                                                     \
	X(tr_startpc, "", "tr.startpc", "")                                                     \
	X(size_snap, "", "sizeof.SnapShot", "")                                                 \
	X(snap_mapofs, "", "snap.mapofs", "")                                                   \
	X(snap_mcofs, "", "snap.mcofs", "machine-code offset; from March 2021 on")              \
	X(snap_nent, "", "snap.nent", "")                                                       \
	X(K_BC_FUNCF, "", "K.BC_FUNCF", "first function header: tells the numbering of bytecodes") \
	X(K_BC_FUNCC, "", "K.BC_FUNCC", "header of C functions; two before those of built-in ones") \
	X(GG_bcff, "", "GG.bcff", "headers of the built-in functions")

/*
 * What every event needs of a row, in one cache line; made from the cells (user/resolve/layouts.c).
 * Offsets in bytes. An offset that does not exist is 0 and is not used by its family.
 */
struct lmt_hot {
	__u8 family;     /* LMT_FAMILY_… */
	__u8 wide;       /* references are 8 bytes */
	__u8 tag_thread; /* type tag of a thread */
	__u8 L_bytes;    /* of a lua_State that hold all its members below */
	__u8 L_tag;
	__u8 L_status;
	__u8 L_glob;
	__u8 L_ci;
	__u8 L_savedpc;
	__u8 L_base_ci;
	__u8 L_base;
	__u8 L_stack;
	__u8 L_cframe;
	__u8 ci_bytes; /* of a CallInfo */
	__u8 ci_func;
	__u8 ci_prev;
	__u8 ci_pc;
	__u8 ci_status;
	__u8 ci_status_bytes;
	__u8 is_51;     /* CallInfos are an array, and only closures tell Lua from C */
	__u32 lua_mask; /* callstatus & lua_mask == lua_want: the call runs Lua code */
	__u32 lua_want;
	__u16 G_cur_L;  /* 0: there is none (2.0) */
	__u16 G_jit_base;
	__u16 G_vmstate;
	__u8 pc_lags;   /* 5.4+: a table is made without storing the pc before */
	__u8 pad;
	__u8 fn_bytes;  /* of a function object that hold ffid and pc */
	__u8 fn_gct;
	__u8 fn_ffid;
	__u8 fn_pc;
	__u32 size_proto;
	__u16 gg_G;     /* LuaJIT: global_State in its block, whose main thread is at 0 */
	__u16 gg_bytes; /* …of that block that hold both's members above; 0: too far apart */
	__u32 pad2[4];
};
_Static_assert(sizeof(struct lmt_hot) == 64, "one cache line");

struct lmt_layout {
	struct lmt_hot hot;
	__u32 family;  /* LMT_FAMILY_… */
	__u32 version; /* LUA_VERSION_NUM (501…505), LUAJIT_VERSION_NUM; a hint, never a key */
#define LMT_LAYOUT_MEMBER(field, puc, lj, doc) struct lmt_cell field;
	LMT_LAYOUT_FIELDS(LMT_LAYOUT_MEMBER)
#undef LMT_LAYOUT_MEMBER
};

enum { LMT_FAMILY_PUC = 1, LMT_FAMILY_LUAJIT = 2 };

#endif
