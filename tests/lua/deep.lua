-- An allocation at the deepest point of a stack of every sort of frame. The target writes, for
-- comparison, the frames as it sees them itself: "frame DEPTH LUA|C WHERE".
if arg and arg[1] == "gate" then
	io.write("ready\n") io.flush()
	io.read()
end
local truth = {}
local kept = {}
local has_tail = pcall(debug.getinfo, 1, "t")

-- Frames of the running thread, from the caller on.
local function note_thread(co, from)
	local i = from
	while true do
		local info
		local what = has_tail and "Slnt" or "Sln"
		if co then info = debug.getinfo(co, i, what) else info = debug.getinfo(i, what) end
		if not info then break end
		if info.what == "tail" then -- 5.1 has a level for each lost frame
			truth[#truth] = truth[#truth] .. " (tail)"
		elseif info.what == "C" then
			truth[#truth + 1] = "C " .. (info.name or "?")
		else
			truth[#truth + 1] = "LUA " .. info.source .. ":" .. info.currentline ..
				" " .. (info.what == "main" and "main chunk" or info.name or "?") ..
				(info.istailcall and " (tail)" or "")
		end
		i = i + 1
	end
end

local resumers = {}
local function planted()
	local t = { 1, 2, 3, 4, 5, 6, 7, 8 } note_thread(nil, 2)
	for i = #resumers, 1, -1 do
		if type(resumers[i]) == "table" then
			for k = 1, #resumers[i] do truth[#truth + 1] = resumers[i][k] end
		else
			note_thread(resumers[i], 0)
		end
	end
	kept[#kept + 1] = t
end

local function recurse(n, f)
	if n == 0 then return f() end
	recurse(n - 1, f)
	return n
end

local object = setmetatable({}, { __index = function(_, key) recurse(3, planted) return key end })

local function variadic(...)
	local first = select("#", ...)
	local got = object.some_field
	return first, got
end

local function protected() variadic(1, 2, nil, 4) end

local function sorted()
	local once = true
	table.sort({ 3, 1, 2 }, function(a, b)
		if once then
			once = false
			assert(pcall(protected))
		end
		return a < b
	end)
end

local body = function(...)
	local inner = coroutine.create(function() sorted() end)
	resumers[#resumers + 1] = coroutine.running()
	assert(coroutine.resume(inner))
end

-- The main thread cannot be asked while another runs in 5.1: its three frames are noted before.
local where = {}
local function line() return debug.getinfo(2, "Sl").source .. ":" .. debug.getinfo(2, "l").currentline end
local function outer()
	local wrapped = coroutine.wrap(body)
	where[2] = line() resumers[1] = { "C wrapped", "LUA " .. where[2] .. " outer", "LUA " .. where[1] .. " main chunk" } wrapped(1, 2, 3)
end

where[1] = line() outer()
for i = 1, #truth do io.write("frame ", truth[i], "\n") end
io.write("done\n") io.flush()
if arg and arg[1] == "gate" then io.read() end
