/* SPDX-License-Identifier: MIT */
/* Counts the bytes in which the executable mappings of MODULE in process PID differ from the file.
 * usage: textdiff PID MODULE   prints one number; exit 0 when none differs, 1 when some do, 2 on error */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char path[64], line[4352], perms[8], name[4096];
	unsigned long start, end, off, diff = 0, seen = 0;
	static unsigned char a[4096], b[4096];
	FILE *maps;
	int mem, file;

	if (argc != 3)
		return 2;
	snprintf(path, sizeof(path), "/proc/%s/maps", argv[1]);
	maps = fopen(path, "r");
	snprintf(path, sizeof(path), "/proc/%s/mem", argv[1]);
	mem = open(path, O_RDONLY);
	file = open(argv[2], O_RDONLY);
	if (!maps || mem < 0 || file < 0)
		return 2;
	while (fgets(line, sizeof(line), maps)) {
		name[0] = 0;
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %4095s", &start, &end, perms, &off, name) < 4 ||
		    perms[2] != 'x' || strcmp(name, argv[2]))
			continue;
		for (; start < end; start += 4096, off += 4096) {
			ssize_t n = pread(file, b, 4096, (off_t)off);

			if (n <= 0 || pread(mem, a, 4096, (off_t)start) != 4096)
				break;
			for (ssize_t i = 0; i < n; i++, seen++)
				diff += a[i] != b[i];
		}
	}
	printf("%lu\n", diff);
	return !seen ? 2 : diff ? 1 : 0;
}
