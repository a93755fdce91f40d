-- Objects in known places, for the census to find: prints where they are and how many.
collectgarbage("stop")
package.loaded.cache = { entries = {} }
local cache = package.loaded.cache
for i = 1, 2000 do cache.entries[i] = { id = i, name = "entry number " .. i } end

local function hide()
	local hidden = {}
	for i = 1, 100 do hidden[i] = { i } end
	return function() return hidden end
end
handler = hide()

-- Weak tables keep nothing: what they alone refer to is garbage. Ephemerons (5.2 and later) keep
-- a value only as long as its key.
weak = setmetatable({ {}, {}, {} }, { __mode = "v" })
ephemeron = setmetatable({}, { __mode = "k" })
local key = {}
held_key = { key }
ephemeron[key] = { "kept by its key" }

threads = {}
for i = 1, 50 do
	local co = coroutine.create(function(a)
		local mine = { a }
		coroutine.yield(mine)
		return mine
	end)
	coroutine.resume(co, i)
	threads[i] = co
end

local ring = {}
for i = 1, 1000 do ring = { next = ring } end
ring_head = ring

local kept_here = { "nobody else has it" }
local co = coroutine.create(function(...)
	local kept_there = { ... }
	for i = 1, 1 do
		local short = { i, kept_there }
		coroutine.yield(short)
	end
end)
local _, short = coroutine.resume(co, {})
waiting = co

file = io.open("/dev/null")
local function address(o) return (tostring(o):match("0x%x+")) end
print("entry", address(cache.entries[1042]))
print("thread", address(threads[7]))
print("upvalue", address(handler()[33]))
print("weak", address(weak[2]))
print("ephemeron", address(ephemeron[key]))
print("local", address(kept_here))
print("inner", address(short[2][1]))
print("meta", address(getmetatable(weak)))
cache, short = nil, nil
print("ready")
io.stdout:flush()
io.read()
