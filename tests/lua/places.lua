-- Known numbers of objects of each kind, made at known lines and kept. Prints where and how many.
if arg and arg[1] == "gate" then
	io.write("ready\n") io.flush()
	io.read()
end
local N = 700
local keep = {}
local function line() return debug.getinfo(2, "l").currentline end
local truth = {}

local function note(kind, at) truth[#truth + 1] = kind .. " " .. at end

local function tables(n)
	local t = {}
	for i = 1, n do t[i] = { i } end note("table", line())
	return t
end

local function closures(n)
	local t = {}
	for i = 1, n do
		local f
		f = function() return i, n end note("function", line())
		t[i] = f
	end
	return t
end

local function strings(n)
	local t = {}
	for i = 1, n do
		local s = "a string of its own, longer than forty bytes: " .. i note("string", line())
		t[i] = s
	end
	return t
end

local function threads(n)
	local t = {}
	for i = 1, n do
		local co = coroutine.create(tables) note("thread", line())
		t[i] = co
	end
	return t
end

local function inside(n)
	local t = {}
	local co = coroutine.wrap(function()
		for i = 1, n do
			local ok, v = pcall(function()
				return { i } end) note("table", line() - 0)
			t[i] = v
		end
	end)
	co()
	return t
end

local function sorted(n)
	local list, made = {}, {}
	for i = 1, n do list[i] = n - i end
	table.sort(list, function(a, b)
		if #made < n then made[#made + 1] = { a, b } end note("table", line())
		return a < b
	end)
	return made
end

keep[1] = tables(N)
keep[2] = closures(N)
keep[3] = strings(N)
keep[4] = threads(N)
keep[5] = inside(N)
keep[6] = sorted(N)
local seen = {}
for i = 1, #truth do
	if not seen[truth[i]] then
		seen[truth[i]] = true
		io.write("truth ", truth[i], " ", N, "\n")
	end
end
io.write("done\n") io.flush()
if arg and arg[1] == "gate" then io.read() end
