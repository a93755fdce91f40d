-- Allocations in code that nobody called: a finalizer that the collector ran in the middle of a
-- function, a debug hook, an error handler. The target writes the Lua lines: "point NAME LINE|…".
if arg and arg[1] == "gate" then
	io.write("ready\n") io.flush()
	io.read()
end
local kept, out, seen = {}, {}, {}
local function note(name, v)
	local t, i = {}, 2
	while true do
		local info = debug.getinfo(i, "Sl")
		if not info then break end
		if info.what ~= "C" and info.what ~= "tail" then
			t[#t + 1] = info.source .. ":" .. info.currentline
		end
		i = i + 1
	end
	if not seen[name] then out[#out + 1] = "point " .. name .. " " .. table.concat(t, "|") .. "\n" end
	seen[name] = true
	kept[#kept + 1] = v
end

local function finalizer()
	local t = { 1, 2, 3 } note("finalizer", t)
end
local function with_finalizer()
	if _VERSION == "Lua 5.1" then
		local p = newproxy(true)
		getmetatable(p).__gc = finalizer
		return p
	end
	return setmetatable({}, { __gc = finalizer })
end
local function busy()
	local i = 0
	while not seen.finalizer do
		local t = { i, { i } }
		i = i + 1
	end
end
with_finalizer()
busy()

local function hooked()
	local a = 1
	local b = a + 1
	return b
end
debug.sethook(function()
	if seen.hook then return end
	local info = debug.getinfo(2, "f")
	if info.func ~= hooked then return end
	local t = { 4, 5, 6, 7 } note("hook", t)
end, "l")
hooked()
debug.sethook()

local function fails() error("on purpose") end
local function protected()
	xpcall(fails, function(e)
		local t = { e } note("handler", t)
		return e
	end)
end
protected()

for i = 1, #out do io.write(out[i]) end
io.write("done\n") io.flush()
if arg and arg[1] == "gate" then io.read() end
