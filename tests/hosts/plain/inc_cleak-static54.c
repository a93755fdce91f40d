/* SPDX-License-Identifier: MIT. build: -s -static -no-pie -I/usr/include/lua5.4 -l:liblua5.4.a -lm */
/* The same in a static, stripped executable: malloc() has no name there. */
#include "../inc_cleak.c"
