-- Makes and drops objects of all kinds until it is killed; says every so often that it lives.
local keep, beats = {}, 0
io.stdout:setvbuf("no")
print("ready")
while true do
	for i = 1, 20000 do
		local t = { i, { x = i }, function() return i end, "text " .. i }
		keep[i % 5000 + 1] = t
		if i % 500 == 0 then
			keep.thread = coroutine.wrap(function() coroutine.yield(t) end)
			keep.thread()
		end
	end
	beats = beats + 1
	print("beat", beats)
end
