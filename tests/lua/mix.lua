-- Allocations of every kind, grown, shrunk, failed and freed: what the ledger must follow.
local keep = {}

local function tree(depth)
	if depth == 0 then return {} end
	return { tree(depth - 1), tree(depth - 1), name = "n" .. depth }
end

for round = 1, 30 do
	keep[round % 7 + 1] = tree(6)
	local parts = {}
	for i = 1, 200 do parts[i] = "piece " .. i * round end
	keep.text = table.concat(parts, ",")
	keep.long = ("x"):rep(1000 + round * 37)
	local f = {}
	for i = 1, 50 do f[i] = function() return i, round end end
	keep.fn = f[round]
	local co = coroutine.wrap(function(a)
		for i = 1, 10 do a = coroutine.yield({ a, i }) end
	end)
	for i = 1, 5 do co(i) end
	keep.co = co
	for i = 1, 300 do parts[i] = nil end
	pcall(error, { round })
	pcall(function() local x = nil; return x.y end)
	if loadstring or load then
		local chunk = (loadstring or load)("return " .. round .. " + 1")
		if chunk then chunk() end
	end
	if round % 10 == 0 then collectgarbage() end
end
