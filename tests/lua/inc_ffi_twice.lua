-- Gives a block of LuaJIT's allocator back in two places, through the FFI. usage: luajit inc_ffi_twice.lua
local ffi = require 'ffi'
ffi.cdef [[
typedef void *(*lua_alloc)(void *ud, void *ptr, size_t osize, size_t nsize);
lua_alloc lua_getallocf(void *L, void **ud);
]]
local ud, co = ffi.new('void *[1]'), coroutine.create(print)
local alloc = ffi.C.lua_getallocf(ffi.cast('void *', tonumber(tostring(co):match('0x%x+'))), ud)
local free = ffi.cast('void (*)(void *, void *, size_t, size_t)', alloc) -- makes no cdata of its result
ud = ud[0]

io.write 'ready\n'
io.flush()
io.read()
local p = alloc(ud, nil, 0, 100)
local function give_back() free(ud, p, 100, 0) return 1 end
local function again() free(ud, p, 100, 0) return 2 end
give_back()
again()
print('done')
io.flush()
io.read()
os.exit(0, false) -- the heap is damaged
