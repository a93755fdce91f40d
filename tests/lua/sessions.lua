-- A service whose sessions are never dropped: they hang on a module. arg[1]: seconds
package.preload.sessions = function()
	return { by_token = {} }
end
local sessions = require("sessions")
local n, t0 = 0, os.time()
io.write("ready\n") io.flush()
while os.time() - t0 < tonumber(arg[1]) do
	for _ = 1, 20 do
		n = n + 1
		sessions.by_token["token-" .. n] = { id = n, last = "GET /" .. n } -- LEAK
	end
	local t = os.clock() while os.clock() - t < 0.002 do end
end
