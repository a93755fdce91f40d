-- Closures and coroutines come and go: rounds until stopped, each prints its processor seconds.
local function worker(n) for i = 1, n do coroutine.yield(function() return i end) end end

while true do
	local t0 = os.clock()
	for _ = 1, 300 do
		local next, sum = coroutine.wrap(worker), 0
		local f = next(20)
		while f do
			sum = sum + f()
			f = next()
		end
	end
	io.write(string.format("%.5f\n", os.clock() - t0)) io.flush()
end
