-- Allocations in functions that a JIT inlines into the loop that calls them. Each is made N times;
-- once the target writes the stack itself: "frame NAME WHERE", innermost first.
if arg and arg[1] == "gate" then
	io.write("ready\n") io.flush()
	io.read()
end
local N = tonumber(arg and arg[2]) or 20000
local keep = {}
local noting
local function note(name)
	local i = 2
	while true do
		local info = debug.getinfo(i, "Sl")
		if not info then break end
		if info.what ~= "C" then
			io.write("frame ", name, " ", info.source, ":", info.currentline, "\n")
		end
		i = i + 1
	end
end

local function leaf(i)
	local t = { i } if noting then note("leaf") end
	return t
end
local function middle(i)
	local t = leaf(i)
	return t, i
end
local function outer(i)
	local t = middle(i)
	return t
end

local class = setmetatable({}, { __index = function(_, key)
	local t = { key, key } if noting then note("meta") end
	return t
end })
local function by_meta()
	local v = class.x
	return v
end

local function varargs(...)
	local t = { ... } if noting then note("varargs") end
	return t
end
local function spread(i)
	local t = varargs(i, i, i)
	return t
end

local function make(i)
	local t = { i, i, i, i } if noting then note("pcall") end
	return t
end
local function protected(i)
	local ok, t = pcall(make, i)
	return t
end

local function text(i)
	local s = "number " .. i if noting then note("text") end
	return s
end

local function run(n, from)
	for i = from, from + n - 1 do
		keep[#keep + 1] = outer(i)
		keep[#keep + 1] = by_meta()
		keep[#keep + 1] = spread(i)
		keep[#keep + 1] = protected(i)
		keep[#keep + 1] = text(i)
	end
end

for pass = 1, 2 do
	noting = pass == 2
	run(noting and 1 or N, pass * N)
end
io.write("done\n") io.flush()
if arg and arg[1] == "gate" then io.read() end
