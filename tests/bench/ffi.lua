-- LuaJIT: hot traces that make C data the compiler cannot sink: rounds until stopped, each prints
-- its processor seconds.
local ffi = require("ffi")
ffi.cdef("typedef struct { double x, y; } point_t; int abs(int);")
local point, ring = ffi.typeof("point_t"), {}

while true do
	local t0, sum = os.clock(), 0
	for i = 1, 20000 do
		local p = point(i, ffi.C.abs(-i))
		ring[i % 64 + 1] = p
		sum = sum + p.x + p.y
	end
	io.write(string.format("%.5f\n", os.clock() - t0)) io.flush()
end
