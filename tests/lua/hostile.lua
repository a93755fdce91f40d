-- Chunk and function names that try to break out of each output format.
if arg and arg[1] == "gate" then
	io.write("ready\n") io.flush()
	io.read()
end
local names = {
	"@</script><script>alert(1)</script>", "@\"><img src=x onerror=alert(1)>", "@a;b c;d\n1 2 3",
	"@]]><x>&amp;&#60;", "@\27[31mred\27[0m\r", "@\255\254\0after", "@\226\128\174evil", "=(label)",
	"--]]></style><script>alert(2)</script> a whole program as its own name, and a rather long one",
	"@" .. ("x"):rep(3000), "@'; DROP TABLE site; --", "@\\u003cscript\\u003e", "@${jndi:x}", "@",
}
kept = {}
for i = 1, #names do
	local f = assert((loadstring or load)("for i = 1, 300 do kept[#kept + 1] = { i, i } end", names[i]))
	f()
end
io.write("done\n") io.flush()
if arg and arg[1] == "gate" then io.read() end
