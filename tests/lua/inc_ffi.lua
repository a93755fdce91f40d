-- FFI code uses memory the collector has freed. usage: luajit inc_ffi.lua MODE
--   bad   a pointer in a cdata's field does not keep its buffer alive (the incident)
--   overflow  writes past the end of buffers, over the allocator's word before the next block
--   read  ffi.string() of a pointer into a buffer that was collected
--   good  the same with the buffer referenced, and many healthy buffers of all sizes
local ffi = require 'ffi'
ffi.cdef [[
int snprintf(char *str, size_t size, const char *format, ...);
size_t strlen(const char *s);
typedef struct { size_t len; char *data; } strbuf;
]]
local mode, rounds = arg[1], tonumber(arg[2] or 20000)
local C = ffi.C

io.write 'ready\n'
io.flush()
io.read()

if mode == 'overflow' then
	local bufs, text = {}, ('overflow '):rep(9)
	for i = 1, 200 do bufs[i] = ffi.new('char[40]') end
	for i = 1, 200, 2 do C.snprintf(bufs[i], 48, '%s', text) end
	bufs = nil
	collectgarbage()
	print('done')
	return
end

if mode == 'read' then
	local function part() return ffi.cast('char *', ffi.new('char[2000]')) + 400 end
	local p, n = part(), 0
	collectgarbage() collectgarbage()
	for i = 1, 100 do n = n + #ffi.string(p, 64) end
	print('done')
	io.flush()
	io.read()
	return
end

local keep = {}
local function new_buf()
	local data = ffi.new('char[1024]')
	local b = ffi.new('strbuf')
	b.len = 1024
	b.data = data
	if mode == 'good' then keep[#keep + 1] = data end
	return b
end

local buf = new_buf()
local calls = 0
local function hello(i)
	C.snprintf(buf.data, buf.len, 'hello world %d from %s', ffi.cast('int', i), 'the module')
	calls = calls + (buf.len == 1024 and 1 or 0)
end

for i = 1, 200 do
	if i == 5 then
		collectgarbage()
		collectgarbage()
	end
	hello(i)
end
print('calls', calls)
io.flush()
if mode == 'good' then
	local ring, strings = {}, {}
	for i = 1, rounds do
		local size = i % 50 == 0 and 70000 or i % 7 * 100 + 40
		local b = ffi.new('char[?]', size)
		ring[i % 100 + 1] = b
		local old = ring[(i * 31) % 100 + 1] or b
		C.snprintf(old, 40, 'round %d', ffi.cast('int', i))
		C.snprintf(b + size - 40, 40, 'end of %d', ffi.cast('int', i))
		strings[i % 200 + 1] = ffi.string(old) .. i
		if i % 1000 == 0 then collectgarbage() end
	end
end
print('done')
io.flush()
io.read()
local waste = {}
for i = 1, 2000 do waste[i] = ('x'):rep(i % 300 + 20) .. i end
waste = nil
collectgarbage()
