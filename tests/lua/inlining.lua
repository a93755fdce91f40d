-- A random program for a JIT: small functions that call each other in every way a trace inlines,
-- with branches that leave traces, and allocations by operators and by built-ins. Each place that
-- allocates makes blocks of a size of its own, so that the size tells which place it was.
-- inlining.lua gate PLACES SEED
local gated = arg[1] == "gate"
local PLACES, ROUNDS = tonumber(arg[2]), 150
local seed = tonumber(arg[3])
local ffi = type(jit) == "table" and require("ffi")
local new = ffi and require("table.new")
local function random(n) -- the same on every version
	seed = (seed * 1103515245 + 12345) % 2147483648
	return math.floor(seed / 65536) % n + 1
end

-- What is made lies here until as many more are made; it escapes, so no trace leaves it out.
KEEP, AT = {}, 0
for i = 1, 64 do KEEP[i] = false end
function PUT(v)
	AT = AT % 64 + 1
	KEEP[AT] = v
end
-- Objects whose metamethods allocate.
function OBJECT(index, concat) return setmetatable({}, { __index = index, __concat = concat }) end

local place = 0
local function size() -- of the next place's block, without its header; none that the VM's own buffers have
	place = place + 1
	return 264 + 32 * place
end
-- One line, one block. i is a number of seven digits that is new each time; s its digits.
local makers = {
	function(n) return ("local v = '%s' .. i PUT(v)"):format(("c"):rep(n - 7)) end,
	function(n) return ("PUT('%s' .. s)"):format(("d"):rep(n - 7)) end,
	function(n) return ("local v = string.format('%s%%d', i) PUT(v)"):format(("f"):rep(n - 7)) end,
	function(n) return ("local v = format('%s%%s', s) PUT(v)"):format(("g"):rep(n - 7)) end,
	function(n) return ("PUT(('%s%%d'):format(i))"):format(("h"):rep(n - 7)) end,
	function(n) return ("local v = rep(s, %d) PUT(v)"):format(n / 8) end,
	function(n) return ("local v = s:rep(%d) PUT(v)"):format(n / 8) end,
	function(n) return ("pair[1], pair[2] = '%s', s\n\tlocal v = table.concat(pair) PUT(v)")
		:format(("t"):rep(n - 7)) end,
	function(n) return ("local v = ('%s#'):gsub('#', s) PUT(v)"):format(("u"):rep(n - 7)) end,
	function(n) return ("local v = { i, %s } PUT(v)"):format(("0, "):rep(n / 8 - 2)) end,
}
if ffi then
	makers[#makers + 1] = function(n) return ("local v = ffi.new('char[%d]') PUT(v)"):format(n + 4) end
	makers[#makers + 1] = function(n) return ("local v = chars(%d) PUT(v)"):format(n + 4) end
	makers[#makers + 1] = function(n) return ("PUT(new(%d, 0))"):format(n / 8 - 1) end
end
local function make() return makers[random(#makers)](size()) end

-- Ways to reach another function, by its number; and pieces of a body.
local calls = {
	function(k) return ("f%d(i, s)"):format(k) end,
	function(k) return ("local r = f%d(i, s)"):format(k) end,
	function(k) return ("F.f%d(i, s)"):format(k) end,
	function(k) return ("F:m%d(i, s)"):format(k) end,
	function(k) return ("pcall(f%d, i, s)"):format(k) end,
	function(k) return ("changed(f%d, i, s)"):format(k) end,
}
local function call(k) return calls[random(#calls)](k) end
local pieces = {
	make, make,
	function() return ("if i %% %d == 0 then\n\t%s\nend"):format(random(7), make()) end,
	function() return ("if i %% 2 == 0 then\n\t%s\nelse\n\t%s\nend"):format(make(), make()) end,
	function(k) return k > 1 and call(random(k - 1)) or make() end,
	function(k) return k > 1 and ("if i %% 3 ~= 0 then\n\t%s\nend"):format(call(random(k - 1))) or make() end,
	function() return ("for j = 1, %d do\n\ti = i + 1000000\n\t%s\nend"):format(random(3) + 1, make()) end,
	function() return ("AT = i %% %d > 0 and AT or AT %% 64"):format(random(5) + 1) end,
}
-- A function: one place; several; one that hands on; one reached by a metamethod.
local shapes = {
	function(k) return ("local function f%d(i, s)\n\t%s\nend"):format(k, make()) end,
	function(k)
		local t = {}
		for j = 1, random(3) do t[j] = "do\n\t" .. pieces[random(#pieces)](k) .. "\nend" end
		return ("local function f%d(i, s)\n%s\nend"):format(k, table.concat(t, "\n"))
	end,
	function(k)
		return k > 1 and ("local function f%d(i, s)\n\treturn f%d(i, s)\nend"):format(k, random(k - 1)) or
			("local function f%d(...)\n\tlocal i, s = ...\n\t%s\nend"):format(k, make())
	end,
	function(k)
		return ("local o%d = OBJECT(function(_, i)\n\tlocal s = i .. '.'\n\t%s\n\treturn i\nend)\n" ..
			"local function f%d(i, s)\n\tlocal v = o%d[i]\n\t%s\nend"):format(k, make(), k, k, make())
	end,
	function(k)
		return ("local o%d = OBJECT(nil, function(_, i)\n\tlocal s = i .. '.'\n\t%s\n\treturn i\nend)\n" ..
			"local function f%d(i, s)\n\tlocal v = o%d .. i\nend"):format(k, make(), k, k)
	end,
}
local text = { "local F, PUT, pair, rep, format = {}, PUT, {}, string.rep, string.format",
	"local chars, new, ffi, changed = ...",
	"changed = function(f, i, s) return f(i, s) end" }
local k = 0
while place < PLACES do
	k = k + 1
	text[#text + 1] = shapes[random(#shapes)](k)
	text[#text + 1] = ("F.f%d = f%d\nfunction F:m%d(i, s)\n\tf%d(i, s)\nend"):format(k, k, k, k)
	if k % 3 == 0 or place >= PLACES then -- some are called by others only
		text[#text + 1] = ("for i = %d, %d do\n\tlocal s = i .. '.'\n\tf%d(i, s)\n\tf%d(i, s)\nend"):format(
			1000000 + place * 1000, 1000000 + place * 1000 + ROUNDS, k, random(k))
	end
	if k % 40 == 0 then k = 0 text[#text + 1] = "end do" end
end
local code = "do\n" .. table.concat(text, "\n") .. "\nend"
if os.getenv("SHOW") then io.stderr:write(code, "\n") end
code = code:gsub("^do\n(.-\n.-\n.-\n)", "%1do\n", 1)
local f = assert((loadstring or load)(code, "@inlining"))
-- The VM's buffer and table for strings have their sizes before and keep them: then all blocks are
-- those of the places.
collectgarbage()
collectgarbage("stop")
KEEP[1] = ("x"):rep(65536)
for i = 1, 140000 do KEEP[2] = "s" .. i end
if gated then
	io.write("ready\n") io.flush()
	io.read()
end
f(ffi and ffi.typeof("char[?]"), new, ffi)
io.write("done\n") io.flush()
if gated then io.read() end
