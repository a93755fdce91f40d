/* SPDX-License-Identifier: MIT */
/*
 * What the state's program uses it for, where the program leaves a trace of that in the state or in
 * its title. One row a program; adding one is adding a row.
 */
#include "label.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "discover/task.h"
#include "luajit.h"

/*
 * skynet: the allocator's argument is the service's struct snlua {L, ctx, …}; struct skynet_context
 * begins with it, has its queue at 32 and its handle at 96, which the queue repeats at 4.
 */
static bool skynet_handle(const struct memread *mem, uint64_t ud, uint32_t *ret)
{
	uint64_t ctx, instance, queue, handle, again;

	if (!memread_uint(mem, ud + 8, 8, &ctx) || !memread_uint(mem, ctx, 8, &instance) ||
	    instance != ud || !memread_uint(mem, ctx + 32, 8, &queue) ||
	    !memread_uint(mem, ctx + 96, 4, &handle) || !memread_uint(mem, queue + 4, 4, &again) ||
	    !handle || handle != again)
		return false;
	*ret = (uint32_t)handle;
	return true;
}

enum place { IN_GLOBALS, IN_REGISTRY, IN_TITLE };
enum shown { SHOW_TEXT, SHOW_NUMBER, SHOW_PRESENT };

static const struct rule {
	const char *program;  /* name of its file begins so; "" any */
	enum place place;
	const char *path;     /* keys, parted by dots; of a title: how it begins */
	enum shown shown;
	const char *zero;     /* SHOW_NUMBER: what 0 means */
	const char *label;    /* %s: the text found */
	bool (*number)(const struct memread *mem, uint64_t ud, uint32_t *ret); /* shown behind it */
} rules[] = {
	/* src/function_lua.c: the engine's context is put into the registry of its state. */
	{ "redis-", IN_REGISTRY, "__ENGINE_CTX__", SHOW_PRESENT, NULL, "functions", NULL },
	{ "redis-", IN_GLOBALS, "redis", SHOW_PRESENT, NULL, "eval", NULL },
	{ "valkey-", IN_REGISTRY, "__ENGINE_CTX__", SHOW_PRESENT, NULL, "functions", NULL },
	{ "valkey-", IN_GLOBALS, "redis", SHOW_PRESENT, NULL, "eval", NULL },
	/* haproxy's Lua API: core.thread, from 1; 0 is the state that all threads share. */
	{ "haproxy", IN_GLOBALS, "core.thread", SHOW_NUMBER, "shared by all threads", "thread %s", NULL },
	/* skynet's lualib/loader.lua: the name of the service. */
	{ "skynet", IN_GLOBALS, "SERVICE_NAME", SHOW_TEXT, NULL, "service %s", skynet_handle },
	/* nginx writes what each process is into its title. */
	{ "nginx", IN_TITLE, "nginx: ", SHOW_TEXT, NULL, "nginx %s", NULL },
	{ "openresty", IN_TITLE, "nginx: ", SHOW_TEXT, NULL, "nginx %s", NULL },
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

static bool text_of_title(const struct target *t, const struct rule *r, char *out, size_t size)
{
	char title[512];

	if (!task_read_title(t->pid, title, sizeof(title)) ||
	    strncmp(title, r->path, strlen(r->path)))
		return false;
	title[strcspn(title, "/") ? strcspn(title, "/") : 1] = '\0'; /* not its own command line */
	snprintf(out, size, "%.*s", TEXT_BYTES, title + strlen(r->path));
	for (size_t n = strlen(out); n && out[n - 1] == ' ';)
		out[--n] = '\0';
	return true;
}

static bool is_program(const struct target *t, const struct rule *r)
{
	const char *exe = strrchr(t->info.exe, '/');

	return !strncmp(exe ? exe + 1 : t->info.exe, r->program, strlen(r->program));
}

static uint32_t label_by(const struct rule *r, const struct memread *mem, const struct walk *w,
			 const char *text, struct strpool *pool)
{
	const char *mark = strstr(r->label, "%s");
	char label[2 * TEXT_BYTES], number[16] = "";
	uint32_t n;

	if (r->zero && !strcmp(text, "0"))
		return strpool_add(pool, r->zero);
	if (r->number && r->number(mem, walk_get(w->g, w->l->G_ud), &n))
		snprintf(number, sizeof(number), " :%08x", n);
	snprintf(label, sizeof(label), "%.*s%s%s", mark ? (int)(mark - r->label) : (int)strlen(r->label),
		 r->label, text, number);
	return strpool_add(pool, label);
}

uint32_t label_at_close(const struct target *t, const char *text, uint32_t handle, struct strpool *pool)
{
	char label[2 * TEXT_BYTES], number[16] = "";

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];

		if (!r->number || !is_program(t, r))
			continue;
		if (handle)
			snprintf(number, sizeof(number), " :%08x", handle);
		snprintf(label, sizeof(label), "%.*s%s%s", (int)strcspn(r->label, "%"), r->label, text, number);
		return strpool_add(pool, label);
	}
	return 0;
}

bool label_known_at_close(const struct target *t)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].number && is_program(t, &rules[i]))
			return true;
	return false;
}

static uint32_t label_of(const struct target *t, const struct memread *mem, const struct walk *w,
			 struct strpool *pool)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];
		char text[TEXT_BYTES + 1];

		if (is_program(t, r) && (r->place == IN_TITLE ? text_of_title(t, r, text, sizeof(text))
							       : text_of_value(w, r, text, sizeof(text))))
			return label_by(r, mem, w, text, pool);
	}
	return 0;
}

uint32_t census_label(struct census *c, const struct walk *w)
{
	return label_of(c->target, c->mem, w, c->pool);
}

bool labels_known(const struct target *t)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (is_program(t, &rules[i]))
			return true;
	return false;
}

bool labels_open(const struct target *t, const struct memread *mem, struct labels *ret)
{
	struct errmsg why;

	*ret = (struct labels){ .target = t, .mem = mem };
	copier_init(&ret->copier, t->pid, mem, 0);
	return !copier_learn(&ret->copier, &why);
}

uint32_t labels_of(struct labels *l, const struct layout *row, uint64_t L, uint64_t G,
		   struct strpool *pool)
{
	struct walk w;
	uint32_t label = 0;

	if (walk_open(&w, &l->copier.im, &l->copier.maps, row, L, G))
		label = label_of(l->target, l->mem, &w, pool);
	walk_deinit(&w);
	return label;
}

void labels_close(struct labels *l)
{
	copier_deinit(&l->copier);
}
