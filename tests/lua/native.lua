-- usage: native.lua DIR        DIR: where planted.so lies
-- Lua and C call each other: a C library, a metamethod, pcall, a coroutine. Waits for two lines.
package.cpath = arg[1] .. "/?.so"
local planted = require "planted"
local keep = {}
local function keep_it(v) keep[#keep % 64 + 1] = v return 1 end

local function udata()
	keep_it(planted.udata()) -- UDATA
	return 1
end
local function buffer()
	keep_it(planted.buffer()) -- BUFFER
	return 1
end
local through = setmetatable({}, { __index = function(_, k)
	planted.back(udata) -- INDEX
	planted.back(buffer)
	return k
end })
local function protected(n)
	local ok = pcall(function() -- PCALL
		local x = through[n] -- META
		return x
	end)
	return ok
end

print "ready"
io.stdout:flush()
io.read()
local co = coroutine.wrap(function()
	for i = 1, 1000 do
		protected(i) -- CO
		coroutine.yield(i)
	end
end)
for _ = 1, 100 do
	co() -- MAIN
end
print "done"
io.stdout:flush()
io.read()
