-- kinds.lua gate WHAT: what kind of thing a line keeps, WHAT is "array", "code", "strings" or "closures". Beside it,
-- garbage of other kinds uses freed memory again at once.
local what = arg[2]
local ffi = type(jit) == "table" and require("ffi")
if jit then jit.off() end
local keep = {}
local make = {
	array = function(i)
		local t = {}
		for k = 1, 20 do
			t[k] = k + i -- ARRAY
		end
		return t
	end,
	code = function(i)
		local text = "local a, b = 'x" .. i .. "', 'y" .. i .. "' return function() return a .. b end"
		return (loadstring or load)(text) -- CODE
	end,
	strings = function(i)
		return "a string with the number " .. i -- STRINGS
	end,
	closures = function(i)
		return function() return i end -- CLOSURES
	end,
}
io.write("ready\n") io.flush()
io.read()
for i = 1, 4000 do
	keep[i] = make[what](i)
	for k = 1, 40 do local _ = { k, "a" .. k } end
	if ffi then local _ = ffi.new("const char *", nil) end
	if i % 400 == 0 then collectgarbage() end
end
io.write("done\n") io.flush()
io.read()
