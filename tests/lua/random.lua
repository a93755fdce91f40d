-- Allocations at random points of a random program: functions that call each other directly, by
-- pcall, tail call, metamethod, sort callback, coroutine. The target writes the Lua lines of each
-- stack itself: "point LINE|LINE|…", innermost first.
if arg and arg[1] == "gate" then
	io.write("ready\n") io.flush()
	io.read()
end
local WANT = tonumber(arg and arg[2]) or 1000
local seed = tonumber(arg and arg[3]) or 1
local function random(n) -- the same on every version
	seed = (seed * 1103515245 + 12345) % 2147483648
	return math.floor(seed / 65536) % n + 1
end

-- Lua lines of the running thread from a level on, then those noted when it was resumed.
local below = nil
local function lines(level)
	local t, i = {}, level
	while true do
		local info = debug.getinfo(i, "Sl")
		if not info then break end
		if info.what ~= "C" and info.what ~= "tail" then
			t[#t + 1] = info.source .. ":" .. info.currentline
		end
		i = i + 1
	end
	return table.concat(t, "|") .. (below and "|" .. below or "")
end

local points, kept = 0, {}
local out = {}
function NOTE(v) -- called on the line of the allocation
	points = points + 1
	kept[points] = v
	out[#out + 1] = "point " .. lines(3) .. "\n"
end
function RESUME(f, ...)
	local before = below
	below = lines(3)
	local r = f(...)
	below = before
	return r
end

-- Lines with %d are filled with a function's number; the first is the allocation.
local bodies = {
	"local function f%d(d)\n\tif d <= 0 then\n\t\tlocal t = { d, {} } NOTE(t)\n\t\treturn t\n\tend\n\tlocal r = F[%d](d - 1)\n\treturn r\nend\n",
	"local function f%d(d)\n\tif d <= 0 then local s = ('x'):rep(60) .. d NOTE(s) return s end\n\treturn F[%d](d - 1)\nend\n",
	"local function f%d(d)\n\tlocal ok, r = pcall(F[%d], d - 1)\n\treturn r\nend\n",
	"local function f%d(d)\n\tlocal o = setmetatable({}, { __index = function(_, k)\n\t\tlocal v = F[%d](d - 1)\n\t\treturn v\n\tend })\n\treturn o[d]\nend\n",
	"local function f%d(d)\n\tlocal r, done\n\ttable.sort({ 2, 1 }, function(a, b)\n\t\tif not done then done = true r = F[%d](d - 1) end\n\t\treturn a < b\n\tend)\n\treturn r\nend\n",
	"local function f%d(d)\n\tlocal co = coroutine.wrap(function(x)\n\t\tlocal r = F[%d](x - 1)\n\t\treturn r\n\tend)\n\tlocal r = RESUME(co, d)\n\treturn r\nend\n",
	"local function f%d(...)\n\tlocal n = select('#', ...)\n\tlocal d = ...\n\tif d <= 0 then local f = function() return n end NOTE(f) return f end\n\tlocal r = F[%d](d - 1, nil, n)\n\treturn r\nend\n",
}
local N = 60
F = {}
for i = 1, N do
	local text = "local F, NOTE, RESUME = F, NOTE, RESUME\n" ..
		bodies[random(#bodies)]:format(i, random(N)) .. "F[" .. i .. "] = f" .. i .. "\n"
	assert((loadstring or load)(text, "@generated" .. i .. ".lua"))()
end
for round = 1, WANT * 4 do
	if points >= WANT then break end
	F[random(N)](random(12))
end
for i = 1, #out do io.write(out[i]) end
io.write("done\n") io.flush()
if arg and arg[1] == "gate" then io.read() end
