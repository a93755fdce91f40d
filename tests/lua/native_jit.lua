-- C code around compiled code, and Lua called back through the C library by the FFI.
local ffi = require "ffi"
ffi.cdef "void qsort(void *, size_t, size_t, int (*)(const void *, const void *));"
local keep = {}

print "ready"
io.stdout:flush()
io.read()
for i = 1, 20000 do
	keep[i % 64] = { i, i } -- TRACE
end
local compare = ffi.cast("int (*)(const void *, const void *)", function()
	keep[1] = { 1, 2, 3 } -- CALLBACK
	return 0
end)
local function sort()
	ffi.C.qsort(ffi.new("int[4]"), 4, 4, compare) -- SORT
	return 1
end
jit.off(sort) -- a callback out of a trace is an error
for _ = 1, 50 do
	sort()
end
print "done"
io.stdout:flush()
io.read()
