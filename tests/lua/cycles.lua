-- cycles.lua gate: a leak, with collections in pairs at once and at rest between them: 200 in all
local keep = {}
io.write("ready\n") io.flush()
io.read()
for i = 1, 100 do
	keep[i] = { i } -- LEAK
	collectgarbage() collectgarbage()
	if i % 25 == 0 then
		local t = os.clock() + 0.05
		while os.clock() < t do end
	end
end
io.write("done\n") io.flush()
io.read()
