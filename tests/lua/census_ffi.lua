-- C data that points at memory which the collector frees (arg 1: "dangling"), or at memory that
-- is held as it should be ("healthy"), in several ways.
local ffi = require("ffi")
ffi.cdef [[
	typedef struct { size_t len; char *data; } census_buffer;
	typedef struct { int x; census_buffer inner; } census_outer;
	struct census_node { struct census_node *next; int v; };
	void *malloc(size_t n);
]]
local mode = arg[1]
holder = { buf = ffi.new("census_buffer"), outer = ffi.new("census_outer"), list = {} }
for i = 1, 200 do
	holder.list[i] = ffi.new("struct census_node", nil, i)
	if i > 1 then holder.list[i].next = holder.list[i - 1] end
end
holder.outer.inner.data = ffi.C.malloc(100)
holder.array = ffi.new("int[64]")
holder.inside = ffi.new("char *", ffi.cast("char *", holder.array) + 17)
holder.text = "a text that stays"
holder.ctext = ffi.new("const char *", holder.text)
holder.double = ffi.new("double", 1.5)
holder.many = {}
for i = 1, 20000 do holder.many[i] = ffi.new("census_buffer", i) end
for i = 1, 50 do local s = ("x"):rep(i * 100) end
-- Late, so that what is freed has not become something else's of the same shape yet.
do
	local bytes = ffi.new("char[?]", 1024)
	holder.buf.len = 1024
	holder.buf.data = bytes
	if mode == "healthy" then holder.bytes = bytes end
end
collectgarbage()
collectgarbage()
print("ready")
io.stdout:flush()
io.read()
