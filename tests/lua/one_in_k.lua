-- one_in_k.lua K T: a session is opened at each line of input and closed T lines later; one in K is
-- forgotten (0: none). With "cache N" instead: a page is kept for each line, N at most.
local K, T = arg[1], tonumber(arg[2])
local open, n = {}, 0
scratch = nil -- a global: no compiler may leave out what goes there

local function login(id)
	open[id] = { name = "user" .. id } -- SESSION
end

local function page(id)
	open["page" .. id] = { body = "text " .. id } -- PAGE
	open["page" .. id - T] = nil
end

if _VERSION == "Lua 5.4" then collectgarbage("incremental") end
collectgarbage("setpause", 110) -- what lives for T is to be told from what waits for the collector
io.write("ready\n") io.flush()
for _ in io.lines() do
	n = n + 1
	if K == "cache" then
		page(n)
	else
		login(n)
		local old = n - T
		if old > 0 and not (tonumber(K) > 0 and old % K == 0) then open[old] = nil end
	end
	for i = 1, 30 do scratch = { i, "x" .. i * n } end
end
