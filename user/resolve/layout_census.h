/* SPDX-License-Identifier: MIT */
/*
 * layout_census: members of Lua's objects that only a walk of the whole heap reads.
 * L2 resolve. Apart from bpf/layout.h, since no probe needs them and since two rows that differ
 * only here are one row for tracing; the census tells them apart by its sum.
 *
 *	X(field, column in puc.tsv, column in luajit.tsv)
 */
#ifndef LMT_RESOLVE_LAYOUT_CENSUS_H
#define LMT_RESOLVE_LAYOUT_CENSUS_H

#include "layout.h"

#define LAYOUT_CENSUS_FIELDS(X)                               \
	/* both */                                            \
	X(marked, "L.marked", "L.marked")                     \
	X(L_openupval, "L.openupval", "L.openupval")          \
	X(L_env, "L.env", "L.env")                            \
	X(L_stacksize, "L.stacksize", "L.stacksize")          \
	X(size_udata, "sizeof.Udata", "sizeof.GCudata")       \
	X(U_len, "U.len", "u.len")                            \
	X(U_meta, "U.metatable", "u.metatable")               \
	X(U_env, "U.env", "u.env")                            \
	X(size_upval, "sizeof.UpVal", "sizeof.GCupval")       \
	X(UV_v, "UV.v", "uv.v")                               \
	X(fn_nup, "LClosure.nupvalues", "fn.nupvalues")       \
	X(fn_upvals, "LClosure.upvals", "fn.uvptr")           \
	X(fn_cupvals, "CClosure.upvalue", "fnC.upvalue")      \
	X(fn_env, "CClosure.env", "fn.env")                   \
	X(fn_f, "CClosure.f", "fnC.f")                        \
	X(T_flags, "T.flags", "t.nomm")                       \
	/* PUC Lua */                                         \
	X(L_size_ci, "L.size_ci", "")                         \
	X(G_finobj, "G.finobj", "")                           \
	X(G_tobefnz, "G.tobefnz", "")                         \
	X(G_fixedgc, "G.fixedgc", "")                         \
	X(G_tmudata, "G.tmudata", "")                         \
	X(G_mt, "G.mt", "")                                   \
	X(G_buffsize, "G.buff.buffsize", "")                  \
	X(ci_next, "ci.next", "")                             \
	X(P_k, "P.k", "")                                     \
	X(P_p, "P.p", "")                                     \
	X(P_upvalues, "P.upvalues", "")                       \
	X(P_locvars, "P.locvars", "")                         \
	X(P_sizek, "P.sizek", "")                             \
	X(P_sizep, "P.sizep", "")                             \
	X(P_sizeupvalues, "P.sizeupvalues", "")               \
	X(P_sizelocvars, "P.sizelocvars", "")                 \
	X(P_flag, "P.flag", "")                               \
	X(T_lastfree, "T.lastfree", "")                       \
	X(T_unsure, "T.unsure", "")                           \
	X(S_hnext, "S.hnext", "")                             \
	X(S_falloc, "S.falloc", "")                           \
	X(U_nuvalue, "U.nuvalue", "")                         \
	X(U_uv, "U.uv", "")                                   \
	X(UV_refcount, "UV.refcount", "")                     \
	X(K_upval, "K.LUA_TUPVAL", "")                        \
	X(tag_lngstr, "tag.lngstr", "")                       \
	X(tag_ccl, "tag.ccl", "")                             \
	/* LuaJIT */                                          \
	X(G_mmudata, "", "g.gc.mmudata")                      \
	X(G_tmpbuf, "", "g.tmpbuf")                           \
	X(G_lightudnum, "", "g.gc.lightudnum")                \
	X(G_lightudseg, "", "g.gc.lightudseg")                \
	X(G_ctype_state, "", "g.ctype_state")                 \
	X(G_gcroot, "", "g.gcroot")                           \
	X(SBuf_e, "", "SBuf.e")                               \
	X(SBuf_b, "", "SBuf.b")                               \
	X(SBuf_sz, "", "SBuf.sz")                             \
	X(SBuf_L, "", "SBuf.L")                               \
	X(J_irtoplim, "", "J.irtoplim")                       \
	X(J_irbotlim, "", "J.irbotlim")                       \
	X(J_sizesnap, "", "J.sizesnap")                       \
	X(J_sizesnapmap, "", "J.sizesnapmap")                 \
	X(size_CTState, "", "sizeof.CTState")                 \
	X(CTState_tab, "", "CTState.tab")                     \
	X(CTState_top, "", "CTState.top")                     \
	X(CTState_sizetab, "", "CTState.sizetab")             \
	X(CTState_finalizer, "", "CTState.finalizer")         \
	X(size_CType, "", "sizeof.CType")                     \
	X(CType_info, "", "CType.info")                       \
	X(CType_size, "", "CType.size")                       \
	X(CType_sib, "", "CType.sib")                         \
	X(CType_name, "", "CType.name")                       \
	X(P_kgc, "", "pt.k")                                  \
	X(P_sizekgc, "", "pt.sizekgc")                        \
	X(P_sizept, "", "pt.sizept")                          \
	X(P_sizeuv, "", "pt.sizeuv")                          \
	X(P_trace, "", "pt.trace")                            \
	X(P_uvinfo, "", "pt.uvinfo")                          \
	X(P_framesize, "", "pt.framesize")                    \
	X(T_colo, "", "t.colo")                               \
	X(T_asize, "", "t.asize")                             \
	X(T_hmask, "", "t.hmask")                             \
	X(node_val, "", "node.val")                           \
	X(node_key, "", "node.key")                           \
	X(U_udtype, "", "u.udtype")                           \
	X(size_cdata, "", "sizeof.GCcdata")                   \
	X(cd_ctypeid, "", "cd.ctypeid")                       \
	X(size_cdatav, "", "sizeof.GCcdataVar")               \
	X(cdv_offset, "", "cdv.offset")                       \
	X(cdv_extra, "", "cdv.extra")                         \
	X(cdv_len, "", "cdv.len")                             \
	X(size_trace, "", "sizeof.GCtrace")                   \
	X(tr_nins, "", "tr.nins")                             \
	X(tr_nk, "", "tr.nk")                                 \
	X(tr_nsnapmap, "", "tr.nsnapmap")                     \
	X(tr_link, "", "tr.link")                             \
	X(tr_nextroot, "", "tr.nextroot")                     \
	X(tr_nextside, "", "tr.nextside")                     \
	X(K_GCROOT_MAX, "", "K.GCROOT_MAX")                   \
	X(K_GCROOT_FFI_FIN, "", "K.GCROOT_FFI_FIN")

struct layout_census {
#define LAYOUT_CENSUS_MEMBER(field, puc, lj) struct lmt_cell field;
	LAYOUT_CENSUS_FIELDS(LAYOUT_CENSUS_MEMBER)
#undef LAYOUT_CENSUS_MEMBER
};

#endif
