-- Text is put together and thrown away: rounds until stopped, each prints its processor seconds.
while true do
	local t0 = os.clock()
	for i = 1, 3000 do
		local parts = {}
		for k = 1, 8 do parts[k] = "item " .. i .. ":" .. k end
		local s = table.concat(parts, ",")
		s = s:gsub("item", "entry"):upper()
	end
	io.write(string.format("%.5f\n", os.clock() - t0)) io.flush()
end
