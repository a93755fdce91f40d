/* SPDX-License-Identifier: MIT */
/*
 * What the state's program uses it for, where the program leaves a trace of that in the state or in
 * its title. One row a program; adding one is adding a row.
 */
#include "census.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "discover/task.h"
#include "luajit.h"

enum place { IN_GLOBALS, IN_REGISTRY, IN_TITLE };
enum shown { SHOW_TEXT, SHOW_NUMBER, SHOW_PRESENT };

static const struct rule {
	const char *program;  /* name of its file begins so; "" any */
	enum place place;
	const char *path;     /* keys, parted by dots; of a title: how it begins */
	enum shown shown;
	const char *zero;     /* SHOW_NUMBER: what 0 means */
	const char *label;    /* %s: the text found */
} rules[] = {
	/* src/function_lua.c: the engine's context is put into the registry of its state. */
	{ "redis-", IN_REGISTRY, "__ENGINE_CTX__", SHOW_PRESENT, NULL, "functions" },
	{ "redis-", IN_GLOBALS, "redis", SHOW_PRESENT, NULL, "eval" },
	{ "valkey-", IN_REGISTRY, "__ENGINE_CTX__", SHOW_PRESENT, NULL, "functions" },
	{ "valkey-", IN_GLOBALS, "redis", SHOW_PRESENT, NULL, "eval" },
	/* haproxy's Lua API: core.thread, from 1; 0 is the state that all threads share. */
	{ "haproxy", IN_GLOBALS, "core.thread", SHOW_NUMBER, "shared by all threads", "thread %s" },
	/* skynet's lualib/loader.lua: the name of the service. */
	{ "skynet", IN_GLOBALS, "SERVICE_NAME", SHOW_TEXT, NULL, "service %s" },
	/* nginx writes what each process is into its title. */
	{ "nginx", IN_TITLE, "nginx: ", SHOW_TEXT, NULL, "nginx %s" },
	{ "openresty", IN_TITLE, "nginx: ", SHOW_TEXT, NULL, "nginx %s" },
};

#define TEXT_BYTES 100

static uint64_t registry_of(const struct walk *w)
{
	return w->l->family == LMT_FAMILY_PUC ? walk_u64(w->g + w->l->G_registry.off)
					      : lj_tv_object(w, w->g + w->l->G_registry.off);
}

/* registry._LOADED._G is the globals table in every release. */
static uint64_t globals_of(const struct walk *w)
{
	struct edge_value v = edges_value(w, registry_of(w), "_LOADED");

	if (v.what == EDGE_VALUE_OBJECT)
		v = edges_value(w, v.object, "_G");
	return v.what == EDGE_VALUE_OBJECT ? v.object : 0;
}

static struct edge_value value_at(const struct walk *w, const struct rule *r)
{
	struct edge_value v = { .what = EDGE_VALUE_OBJECT };
	char path[64], *rest = path, *key;

	v.object = r->place == IN_REGISTRY ? registry_of(w) : globals_of(w);
	snprintf(path, sizeof(path), "%s", r->path);
	while ((key = strsep(&rest, ".")) && v.what == EDGE_VALUE_OBJECT)
		v = edges_value(w, v.object, key);
	return v;
}

static bool text_of_value(const struct walk *w, const struct rule *r, char *out, size_t size)
{
	struct edge_value v = value_at(w, r);
	const uint8_t *text;
	uint64_t len;

	switch (r->shown) {
	case SHOW_PRESENT:
		*out = '\0';
		return v.what != EDGE_VALUE_NONE;
	case SHOW_NUMBER:
		snprintf(out, size, "%.0f", v.number);
		return v.what == EDGE_VALUE_NUMBER;
	case SHOW_TEXT:
		break;
	}
	if (v.what != EDGE_VALUE_OBJECT || !edges_text(w, v.object, &text, &len))
		return false;
	snprintf(out, size, "%.*s", (int)(len < TEXT_BYTES ? len : TEXT_BYTES), (const char *)text);
	return true;
}

static bool text_of_title(const struct census *c, const struct rule *r, char *out, size_t size)
{
	char title[512];

	if (!task_read_title(c->target->pid, title, sizeof(title)) ||
	    strncmp(title, r->path, strlen(r->path)))
		return false;
	title[strcspn(title, "/") ? strcspn(title, "/") : 1] = '\0'; /* not its own command line */
	snprintf(out, size, "%.*s", TEXT_BYTES, title + strlen(r->path));
	for (size_t n = strlen(out); n && out[n - 1] == ' ';)
		out[--n] = '\0';
	return true;
}

uint32_t census_label(struct census *c, const struct walk *w)
{
	const char *exe = strrchr(c->target->info.exe, '/');

	exe = exe ? exe + 1 : c->target->info.exe;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];
		const char *mark = strstr(r->label, "%s");
		char text[TEXT_BYTES + 1], label[2 * TEXT_BYTES];

		if (strncmp(exe, r->program, strlen(r->program)) ||
		    !(r->place == IN_TITLE ? text_of_title(c, r, text, sizeof(text))
					   : text_of_value(w, r, text, sizeof(text))))
			continue;
		if (r->zero && !strcmp(text, "0"))
			return strpool_add(c->pool, r->zero);
		snprintf(label, sizeof(label), "%.*s%s", mark ? (int)(mark - r->label)
			 : (int)strlen(r->label), r->label, text);
		return strpool_add(c->pool, label);
	}
	return 0;
}
