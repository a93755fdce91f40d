-- One line makes all blocks, for callers with known shares of them; one caller keeps nothing.
if arg and arg[1] == "gate" then
	io.write("ready\n") io.flush()
	io.read()
end
local keep, temporary = {}, nil
local function make(n)
	local t = {} for i = 1, n do t[i] = i end
	return t
end
local function large(i) keep[#keep + 1] = make(32) return i end
local function medium(i) keep[#keep + 1] = make(16) return i end
local function small(i) keep[#keep + 1] = make(4) return i end
local function thrown_away(i) temporary = make(16) return i end
for i = 1, 6000 do
	large(i)
	medium(i)
	small(i)
	for k = 1, 4 do thrown_away(k) end
end
temporary = nil
collectgarbage() collectgarbage()
-- Bytes of a table and its array part by caller, relative to each other.
io.write("done\n") io.flush()
if arg and arg[1] == "gate" then io.read() end
