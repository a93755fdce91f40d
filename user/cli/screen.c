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

#include "base/log.h"
#include "report/top.h"
#include "trace/session.h"

#define ENTER "\033[?1049h\033[?25l" /* another screen, no cursor */
#define LEAVE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_BELOW "\033[J"
#define CLEAR_LINE "\033[K"

struct screen {
	struct trace_sink sink;
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

static struct screen *screen_of(struct trace_sink *k)
{
	return (struct screen *)k;
}

/* Takes the terminal on stdin and stdout. */
static int take_terminal(struct screen *s, struct errmsg *err)
{
	struct termios raw;

	if (top_new(&s->top) || tcgetattr(STDIN_FILENO, &s->before))
		return errmsg_set(err, -ENOMEM, "cannot set up the terminal: %s", strerror(errno));
	raw = s->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* Ctrl-C still ends it */
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	signal(SIGTSTP, SIG_IGN); /* nobody could read what is under it */
	open_screen = s;
	atexit(give_back);
	fputs(ENTER, stdout);
	return 0;
}

/* From now on messages would only spoil the picture; the last report repeats what matters. */
static int start(struct trace_sink *k, struct session *session, struct errmsg *err)
{
	int rc = take_terminal(screen_of(k), err);

	if (rc)
		return rc;
	log_set_level(LOG_QUIET);
	k->fd = STDIN_FILENO;
	rc = session_look(session, true, false);
	return rc ? errmsg_set(err, rc, "the trace broke off: %s", strerror(-rc)) : 0;
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

/* Shows the report unless paused. */
static int on_look(struct trace_sink *k, struct session *session, const struct trace_look *l)
{
	struct screen *s = screen_of(k);
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	struct top_screen ts;
	char *text = NULL;
	size_t len = 0;
	FILE *out;
	int rc;

	if (s->paused || !l->r)
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
		size = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	out = open_memstream(&text, &len);
	if (!out)
		return -ENOMEM;
	ts = (struct top_screen){ size.ws_row, size.ws_col, s->color,
				  "q quit with a report   p pause" };
	rc = top_write(s->top, l->r, &ts, out);
	if (fclose(out))
		rc = -ENOMEM;
	if (!rc)
		draw(text, len);
	if (ferror(stdout))
		session_write_failed(session, errno);
	free(text);
	return rc;
}

/* True when the user wants to leave. */
static bool take_keys(struct screen *s)
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

static void on_ready(struct trace_sink *k, struct session *session)
{
	if (take_keys(screen_of(k)))
		session->end = SESSION_SIGNAL;
}

/* Gives the terminal back as it was: the last report is text. */
static int before_end(struct trace_sink *k, struct session *session, bool broke_off)
{
	(void)session;
	(void)broke_off;
	k->takes_reports = k->whole = false;
	fflush(stdout);
	give_back();
	return 0;
}

static void free_screen(struct trace_sink *k)
{
	struct screen *s = screen_of(k);

	if (open_screen == s) {
		fflush(stdout);
		give_back();
	}
	top_free(s->top);
	free(s);
}

static const struct trace_sink_ops ops = {
	.start = start,
	.on_look = on_look,
	.on_ready = on_ready,
	.before_end = before_end,
	.free = free_screen,
};

int screen_new(bool color, struct trace_sink **ret)
{
	struct screen *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->color = color;
	s->sink =
		(struct trace_sink){ .ops = &ops, .fd = -1, .takes_reports = true, .whole = true };
	*ret = &s->sink;
	return 0;
}
