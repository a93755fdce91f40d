-- Raises and catches every kind of error, thousands of times; ends with an error unless all were
-- caught. A return probe on a function that an error unwinds through would kill us here.
local N = tonumber(arg and arg[1]) or 3000
if arg and arg[2] == "gate" then
	io.write("ready\n") io.flush()
	io.read()
end
local caught, want = 0, 0

local function try(f, ...)
	want = want + 1
	local ok = pcall(f, ...)
	if not ok then caught = caught + 1 end
end

local function deep(n) if n == 0 then error({ code = n }) end return (deep(n - 1)) end

for i = 1, N do
	try(function() local t; return t.x end)
	try(function() return {} + 1 end)
	try(function() return #nil end)
	try(error, { i })
	try(error, "text " .. i)
	try(string.rep)
	try(setmetatable, 1, 2)
	try(deep, 20)
	try(coroutine.wrap(function() local t = { i }; error(t) end))
	try(function() setmetatable({}, { __index = function(_, k) error(k) end }).missing() end)
	try(table.sort, { 3, 1, 2 }, function() error("in a callback") end)
	local co = coroutine.create(function() coroutine.yield(i); error(i) end)
	coroutine.resume(co)
	want = want + 1
	if not coroutine.resume(co) then caught = caught + 1 end
	if i % 100 == 0 then
		local p = newproxy and newproxy(true)
		if p then getmetatable(p).__gc = function() pcall(error, "in a finalizer") end end
		setmetatable({}, { __gc = function() pcall(error, "in a finalizer") end })
		p = nil
		collectgarbage()
	end
end

assert(caught == want, caught .. " of " .. want .. " errors were caught")
io.write("caught ", caught, "\ndone\n") io.flush()
if arg and arg[2] == "gate" then io.read() end
