-- usage: lua healthy_kinds.lua KIND [SCALE [stop]]: keeps memory in a way that is no leak, among churn.
-- A line on stdin is a tick; about 100 a second are meant, SCALE stretches the times.
local kind, scale = arg[1], tonumber(arg[2]) or 1
local store, count = {}, 0
if arg[3] then collectgarbage(arg[3]) end
local function per(n) return math.floor(n * scale) end

local keep = {
	cache = function(i) -- fills in about two seconds, then only hits
		local k = i % per(2400)
		store[k] = store[k] or { k, "value " .. k }
	end,
	ring = function(i) store[i % per(2400)] = { i, "entry " .. i } end,
	lru = function(i) -- random keys, random eviction
		if count >= per(2000) then
			local k = math.random(count)
			store[k], store[count] = store[count], nil
			count = count - 1
		end
		count = count + 1
		store[count] = { i, "item " .. i }
	end,
	warm_up = function(i) if i < per(4000) then store[i] = function() return i end end end,
	once = function(i) if i > per(4000) and i < per(8000) then store[i] = { "row " .. i } end end,
	sawtooth = function(i) if i % per(2700) == 0 then store = {} end; store[#store + 1] = { i } end,
	memo = function(i)
		local k = math.random(per(1500))
		store[k] = store[k] or ("memo " .. k):rep(4)
	end,
	buffer = function(i)
		store[#store + 1] = "chunk " .. i
		if #store > per(3100) then table.concat(store); store = {} end
	end,
	workers = function(i)
		local k = i % per(300)
		store[k] = coroutine.wrap(function() coroutine.yield({ k }) end)
		store[k]()
	end,
	nothing = function() end,
}

local function request(i)
	local r = { id = i, path = "/items/" .. i % 97, headers = {} }
	for h = 1, 5 do r.headers[h] = { "header " .. h .. i % 13 } end
	local parts = {}
	for n = 1, 8 do parts[n] = r.path .. n end
	return table.concat(parts, "&")
end

io.write("ready\n") io.flush()
local n = 0
for _ in io.lines() do
	if n % 1200 == 0 then io.write("done ", n, "\n") io.flush() end
	for _ = 1, 12 do
		n = n + 1
		request(n)
		keep[kind](n)
	end
end
