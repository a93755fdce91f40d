-- One table grows to 1024 elements, at one line; another is made at its size.
if arg and arg[1] == "gate" then
	io.write("ready\n") io.flush()
	io.read()
end
grown, made = {}, { 1, 2, 3, 4, 5, 6, 7, 8 }
for i = 1, 1024 do
	grown[i] = i -- CHAIN
end
io.write("done\n") io.flush()
if arg and arg[1] == "gate" then io.read() end
