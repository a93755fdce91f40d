/* SPDX-License-Identifier: MIT */
#include "format.h"

#include <string.h>

static const struct format formats[] = {
	{ "text", text_write },
	{ "json", json_write },
};

const struct format *format_find(const char *name)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (!strcmp(formats[i].name, name))
			return &formats[i];
	return NULL;
}
