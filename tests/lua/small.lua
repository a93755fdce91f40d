-- A short script for states that live briefly: a few objects of each kind.
local keep = {}
for i = 1, 20 do
	keep[i] = { i, tostring(i) .. "x", function() return i end }
end
keep.co = coroutine.wrap(function() coroutine.yield(keep) end)
keep.co()
