/* SPDX-License-Identifier: MIT */
#include "screen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "report/top.h"

#define ENTER "\033[?1049h\033[?25l" /* another screen, no cursor */
#define LEAVE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_BELOW "\033[J"
#define CLEAR_LINE "\033[K"

struct screen {
	struct termios before;
	struct top *top;
	bool color, paused;
};

static const struct screen *open_screen; /* for exits that pass nobody */

static void give_back(void)
{
	if (!open_screen)
		return;
	if (write(STDOUT_FILENO, LEAVE, sizeof(LEAVE) - 1) < 0)
		return; /* the terminal is gone */
	tcsetattr(STDIN_FILENO, TCSANOW, &open_screen->before);
	open_screen = NULL;
}

int screen_check(struct errmsg *err)
{
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return 0;
	return errmsg_set(err, -EINVAL, "top needs a terminal; for a report every 2 seconds: luamemtrace -p PID 2");
}

int screen_open(bool color, struct screen **ret, struct errmsg *err)
{
	struct screen *s = calloc(1, sizeof(*s));
	struct termios raw;

	if (!s || top_new(&s->top) || tcgetattr(STDIN_FILENO, &s->before)) {
		screen_close(s);
		return errmsg_set(err, -ENOMEM, "cannot set up the terminal: %s", strerror(errno));
	}
	s->color = color;
	raw = s->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* Ctrl-C still ends it */
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	signal(SIGTSTP, SIG_IGN); /* nobody could read what is under it */
	open_screen = s;
	atexit(give_back);
	fputs(ENTER, stdout);
	*ret = s;
	return 0;
}

void screen_close(struct screen *s)
{
	if (!s)
		return;
	fflush(stdout);
	if (open_screen == s)
		give_back();
	top_free(s->top);
	free(s);
}

/* Each line also wipes what stood behind it: less flicker than wiping all. */
static void draw(const char *text, size_t len)
{
	fputs(HOME, stdout);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			fputs(CLEAR_LINE, stdout);
		putchar(text[i]);
	}
	fputs(CLEAR_LINE CLEAR_BELOW, stdout);
	fflush(stdout);
}

int screen_show(struct screen *s, const struct report *r)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	struct top_screen ts;
	char *text = NULL;
	size_t len = 0;
	FILE *out;
	int rc;

	if (s->paused)
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
		size = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	out = open_memstream(&text, &len);
	if (!out)
		return -ENOMEM;
	ts = (struct top_screen){ size.ws_row, size.ws_col, s->color,
				  "q quit with a report   p pause" };
	rc = top_write(s->top, r, &ts, out);
	if (fclose(out))
		rc = -ENOMEM;
	if (!rc)
		draw(text, len);
	free(text);
	return rc;
}

bool screen_keys(struct screen *s)
{
	char key;
	ssize_t n;

	while ((n = read(STDIN_FILENO, &key, 1)) == 1) {
		if (key == 'q' || key == 'Q' || key == 4)
			return true;
		if (key == 'p' || key == ' ')
			s->paused = !s->paused;
	}
	return n < 0 && errno == EIO; /* the terminal is gone */
}
