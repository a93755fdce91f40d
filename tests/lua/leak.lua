-- A service that leaks at one line among much healthy churn, until it is told to stop.
local sessions, history = {}, {}

local function parse(i)
	local request = { id = i, path = "/items/" .. i % 97, headers = {} }
	for h = 1, 5 do request.headers[h] = "header " .. h .. i % 13 end
	return request
end

local function remember(request)
	sessions[#sessions + 1] = { id = request.id, token = "token " .. request.id } -- LEAK
end

local function handle(i)
	local request = parse(i)
	history[i % 100 + 1] = request -- a ring: levels off
	if i % 4 == 0 then remember(request) end
	local parts = {}
	for n = 1, 10 do parts[n] = request.path .. n end
	return table.concat(parts, "&")
end

io.write("ready\n") io.flush()
local stop = tonumber(arg and arg[1]) or 60
local t0, n = os.time(), 0
while os.time() - t0 < stop do
	for _ = 1, 200 do n = n + 1; handle(n) end
	local t = os.clock()
	while os.clock() - t < 0.002 do end
end
