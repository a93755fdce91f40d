-- usage: lua leak_kinds.lua KIND [steady|bursts|slow [stop]]: leaks one kind of object at the line marked
-- with its name, one for each of so many requests, among much churn. A line on stdin is a tick.
local kind, how = arg[1], arg[2] or "steady"
if arg[3] then collectgarbage(arg[3]) end
local ffi = jit and require("ffi")
local kept, ring = {}, {}
local function body() end

local leak = {
	table = function(i) kept[#kept + 1] = { i } end, -- LEAK table
	closure = function(i) kept[#kept + 1] = function() return i end end, -- LEAK closure
	coroutine = function(i) kept[#kept + 1] = coroutine.create(body) end, -- LEAK coroutine
	string = function(i) kept[#kept + 1] = "session " .. i end, -- LEAK string
	userdata = function(i) kept[#kept + 1] = io.open("/dev/null"); kept[#kept]:close() end, -- LEAK userdata
	cdata = function(i) kept[#kept + 1] = ffi.new("int[16]") end, -- LEAK cdata
	one_in_many = function(i) local t = { i, {} }; if i % 100 == 0 then kept[#kept + 1] = t end end, -- LEAK one_in_many
}

local function request(i)
	local r = { id = i, path = "/items/" .. i % 97, headers = {} }
	for h = 1, 5 do r.headers[h] = { "header " .. h .. i % 13 } end
	ring[i % 100 + 1] = r
	local parts = {}
	for n = 1, 8 do parts[n] = r.path .. n end
	return table.concat(parts, "&")
end

local wanted = {
	steady = function(i) return i % 4 == 0 end,
	bursts = function(i) return i % 1500 < 150 end,
	slow = function(i) return i % 25 == 0 end, -- about 1 % of what is allocated
}
io.write("ready\n") io.flush()
local n = 0
for _ in io.lines() do
	if n % 1200 == 0 then io.write("done ", n, "\n") io.flush() end
	for _ = 1, 12 do
		n = n + 1
		request(n)
		if kind == "one_in_many" or wanted[how](n) then leak[kind](n) end
	end
end
