-- make(n): n tables at one line, kept.
local keep = {}
function make(n)
	for i = 1, n do keep[#keep + 1] = { i } end
end
