-- Memory of known sizes in each part of a process. usage: luajit memory.lua C_MIB FREE_MIB LUA_MIB [GROW_BYTES_PER_MS]
--   C_MIB from malloc() stay, FREE_MIB lie free between them, LUA_MIB of tables and strings are held.
-- Prints what malloc() itself says: bytes in use, bytes free.
local ffi = require 'ffi'
ffi.cdef [[
typedef struct { size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost; } minfo;
minfo mallinfo2(void);
void *malloc(size_t n); void free(void *p); void *memset(void *p, int c, size_t n);
int mallopt(int what, int value); int usleep(unsigned int us);
]]
local C = ffi.C
local c_mib, free_mib, lua_mib, grow = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4] or 0)
local piece = 16384

C.mallopt(-1, 2 ^ 30) -- M_TRIM_THRESHOLD: what is free at the top stays
local function take()
	local p = C.malloc(piece - 16)
	C.memset(p, 1, piece - 16)
	return p
end
local kept, gone = {}, {}
local total = (c_mib + free_mib) * 64
for i = 1, total do
	local p = take()
	if i * free_mib % (c_mib + free_mib) < free_mib then gone[#gone + 1] = p else kept[#kept + 1] = p end
end
for _, p in ipairs(gone) do C.free(p) end
gone = nil
local held = {}
collectgarbage()
local base = collectgarbage 'count'
while collectgarbage 'count' < base + lua_mib * 1024 do
	held[#held + 1] = { #held, tostring(#held), { #held } }
end
collectgarbage()
collectgarbage()
local m = C.mallinfo2()
print('used', tonumber(m.uordblks + m.hblkhd), 'free', tonumber(m.fordblks), 'lua', collectgarbage 'count' * 1024)
print 'ready'
io.flush()
if grow == 0 then io.read() return end
for i = 1, 1e9 do
	local p = C.malloc(grow * 10)
	C.memset(p, 1, grow * 10)
	C.usleep(10000)
end
