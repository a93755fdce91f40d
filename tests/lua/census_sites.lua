-- A thousand tables of each of these constructors, for the census by site.
local meta = {}
local function fields(i) return { x = i, y = i + 1 } end
local function added(i)
	local t = {}
	t.name = "n" .. i
	if i % 2 == 0 then t.even = true end
	return t
end
local function list(i) return { i, i, i } end
local function object(i) return setmetatable({ id = i, call = function() return i end }, meta) end
local function one(i) return { p = i, q = i } end
local function other(i) return { q = i, p = tostring(i) } end
local function mixed(i) return { i, i, i, i, i, tag = "m", [i] = 1, len = #tostring(i) } end
local function large(i)
	return { a1 = 1, a2 = 2, a3 = 3, a4 = 4, a5 = 5, a6 = 6, a7 = 7, a8 = 8, a9 = 9, a10 = 10, a11 = i }
end
local function constant() return { kind = "const", size = 4, flag = false } end
local function nested(i) return { outer = i, inner = { deep = i } } end
local function built(i)
	local t = {}
	for k = 1, 3 do t["key" .. (i + k)] = k end
	return t
end
all = {}
for i = 1, 1000 do
	for _, f in ipairs { fields, added, list, object, one, other, mixed, large, constant, nested, built } do
		all[#all + 1] = f(i)
	end
end
collectgarbage()
print("ready")
io.stdout:flush()
io.read()
