#include "config.h"

#include "cli/backend.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static const char *const given[] = { "Ada", "Alan", "Barbara", "Dennis", "Edsger", "Frances",
	"Grace", "Hedy", "Ken", "Leslie", "Margaret", "Niklaus", "Radia", "Tony" };
static const char *const family[] = { "Berg", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia",
	"Haddad", "Ito", "Jensen", "Kowalska", "Lindqvist", "Moreau", "Novak", "Okafor" };
static const char *const city[] = { "Aarhus", "Bologna", "Cork", "Dresden", "Evora", "Freiburg",
	"Ghent", "Haarlem", "Innsbruck", "Jaca", "Krakow", "Lund" };

/* FNV-1a. */
static uint64_t
hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return h;
}

static int
append_json(struct buf *b, const char *s)
{
	int rc = 0;

	for (; *s != '\0' && rc == 0; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < ' ' || c > '~' || c == '"' || c == '\\')
			rc = buf_printf(b, "\\u%04x", c);
		else
			rc = buf_append(b, s, 1);
	}
	return rc;
}

/* Up to the wanted size, which the two bytes that close the object count to. */
static int
append_filler(struct buf *b, unsigned value_bytes)
{
	static const char words[] =
	    "the pannier hangs beside the wheel and carries what the rider needs ";
	int rc = buf_printf(b, ",\"about\":\"");

	for (size_t i = 0; rc == 0 && buf_len(b) + 2 < value_bytes; i++)
		rc = buf_append(b, &words[i % (sizeof words - 1)], 1);
	return rc == 0 ? buf_printf(b, "\"}") : rc;
}

char *
backend_body(const char *path, unsigned value_bytes, size_t *len)
{
	const char *slash = strrchr(path, '/');
	const char *id = slash != NULL ? slash + 1 : path;
	uint64_t h = hash(path);
	struct buf b;
	int rc;

	buf_init(&b);
	rc = buf_printf(&b, "{\"id\":\"");
	if (rc == 0)
		rc = append_json(&b, id);
	if (rc == 0)
		rc = buf_printf(&b, "\",\"name\":\"%s %s\",\"city\":\"%s\",\"points\":%u",
		    given[h % ARRAY_LEN(given)], family[(h >> 16) % ARRAY_LEN(family)],
		    city[(h >> 32) % ARRAY_LEN(city)], (unsigned)(h >> 48) % 10000);
	if (rc == 0)
		rc = append_filler(&b, value_bytes);
	if (rc != 0) {
		buf_fini(&b);
		return NULL;
	}
	*len = buf_len(&b);
	return b.mem; /* head is 0: nothing was consumed */
}
