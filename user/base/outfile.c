/* SPDX-License-Identifier: MIT */
#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kind_of(mode_t mode)
{
	return S_ISDIR(mode)    ? "a folder"
	       : S_ISLNK(mode)  ? "a symbolic link"
	       : S_ISFIFO(mode) ? "a FIFO"
	       : S_ISSOCK(mode) ? "a socket"
				: "a device";
}

bool outfile_is_stdout(const char *path)
{
	return !strcmp(path, "-") || !strcmp(path, "/dev/stdout");
}

int outfile_open(struct outfile *o, const char *path, struct errmsg *err)
{
	struct stat st;
	int fd, rc;

	*o = (struct outfile){ 0 };
	if (outfile_is_stdout(path)) {
		o->f = stdout;
		return 0;
	}
	if (!lstat(path, &st) && !S_ISREG(st.st_mode))
		return errmsg_set(err, -EIO, "cannot write '%s': it is %s; name a file, or - for "
				  "standard output", path, kind_of(st.st_mode));
	o->path = strdup(path);
	if (!o->path || asprintf(&o->temp, "%s.XXXXXX", path) < 0) {
		o->temp = NULL;
		outfile_deinit(o);
		return errmsg_set(err, -EIO, "cannot write '%s': out of memory", path);
	}
	fd = mkostemp(o->temp, O_CLOEXEC);
	if (fd >= 0 && (o->f = fdopen(fd, "w")))
		return 0;
	rc = errno;
	if (fd >= 0) {
		close(fd);
		unlink(o->temp);
	}
	free(o->temp);
	o->temp = NULL;
	outfile_deinit(o);
	return errmsg_set(err, -EIO, "cannot write '%s': %s; name a file that can be written", path,
			  strerror(rc));
}

int outfile_commit(struct outfile *o)
{
	int bad;

	errno = 0;
	bad = fflush(o->f) || ferror(o->f);
	if (!o->path)
		return bad ? -EIO : 0;
	bad = fclose(o->f) || bad;
	o->f = NULL;
	if (bad || rename(o->temp, o->path))
		return -EIO;
	free(o->temp);
	o->temp = NULL;
	return 0;
}

void outfile_deinit(struct outfile *o)
{
	if (o->f && o->path)
		fclose(o->f);
	if (o->temp)
		unlink(o->temp);
	free(o->temp);
	free(o->path);
	*o = (struct outfile){ 0 };
}
