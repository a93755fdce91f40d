-- A line whose tables are thrown away at once, and one whose tables stay.
local keep = {}
local function thrown(i) return { i, i, i, i } end -- THROWN
local function kept(i) return { i, i, i, i } end -- KEPT

print "ready"
io.stdout:flush()
io.read()
for i = 1, 100000 do
	thrown(i)
	if i % 100 == 0 then
		keep[#keep + 1] = kept(i)
	end
end
print "done"
io.stdout:flush()
io.read()
