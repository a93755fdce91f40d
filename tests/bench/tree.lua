-- The binary-tree torture: rounds until stopped, each prints its processor seconds.
local function tree(depth)
	if depth == 0 then return {} end
	return { tree(depth - 1), tree(depth - 1) }
end

while true do
	local t0 = os.clock()
	for _ = 1, 2 do tree(13) end
	io.write(string.format("%.5f\n", os.clock() - t0)) io.flush()
end
