-- Tables made with little before them in the line that would store a pc: each line's share is known.
io.write("ready\n") io.flush()
io.read()
local keep, n = {}, 20000
for i = 1, n do
	local a = i * 2

	local t = { a, a, a, a } -- MANY: n tables, n arrays
	if i % 100 == 0 then
		keep[i / 100] = { i, x = 1 } -- FEW: n / 100 tables, with two parts each
	end
	local u = i % 2 == 0 and {} or nil -- HALF: n / 2 tables, no parts
end
io.write("done\n") io.flush()
io.read()
