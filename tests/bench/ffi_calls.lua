-- LuaJIT: C functions that get buffers of the collector's: rounds until stopped, each prints its processor
-- seconds. Compiled calls go straight to the C library; with -joff all of them go through LuaJIT's own call.
local ffi = require("ffi")
ffi.cdef("int snprintf(char *, size_t, const char *, ...); size_t strftime(char *, size_t, const char *, const void *);")
local number = ffi.typeof("double")

while true do
	local t0 = os.clock()
	for i = 1, 2000 do
		local buf = ffi.new("char[?]", 48)
		ffi.C.snprintf(buf, 48, "%.0f", number(i))
	end
	io.write(string.format("%.5f\n", os.clock() - t0)) io.flush()
end
