#include "config.h"

#include "cli/info_doc.h"

#include <errno.h>

#include "base/mem.h"
#include "base/parse.h"
#include "config/text.h"

/* Everything before `end`, which is passed over too. */
static struct slice
take_until(struct slice *s, char end)
{
	const char *at = s->len != 0 ? memchr(s->ptr, end, s->len) : NULL;
	struct slice head = *s;

	if (at == NULL) {
		*s = slice_skip(*s, s->len);
		return head;
	}
	head.len = (size_t)(at - s->ptr);
	*s = slice_skip(*s, head.len + 1);
	return head;
}

static struct slice
take_line(struct slice *text)
{
	struct slice line = take_until(text, '\n');

	if (line.len != 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

int
info_doc_read(struct slice text, struct info_doc *out)
{
	struct slice rest = text, section = SLICE("");
	unsigned n = 1;

	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == '\n';
	*out = (struct info_doc){ .lines = mem_calloc(n, sizeof *out->lines) };
	if (out->lines == NULL)
		return -ENOMEM;
	while (rest.len != 0) {
		struct slice value = take_line(&rest), key;

		if (slice_has_prefix(value, SLICE("# "))) {
			section = slice_skip(value, 2);
			continue;
		}
		key = take_until(&value, ':');
		if (key.len != 0 && key.ptr + key.len != value.ptr)
			out->lines[out->n++] = (struct info_line){ section, key, value };
	}
	return 0;
}

void
info_doc_fini(struct info_doc *d)
{
	mem_free(d->lines);
	*d = (struct info_doc){ 0 };
}

struct slice
info_doc_get(const struct info_doc *d, const char *section, const char *key)
{
	for (unsigned i = 0; i < d->n; i++)
		if (slice_eq(d->lines[i].section, slice_str(section)) &&
		    slice_eq(d->lines[i].key, slice_str(key)))
			return d->lines[i].value;
	return SLICE("");
}

/* Decimals are left out. */
static int64_t
int_of(struct slice s)
{
	const char *point = s.len != 0 ? memchr(s.ptr, '.', s.len) : NULL;
	int64_t n;

	if (point != NULL)
		s.len = (size_t)(point - s.ptr);
	return parse_i64(s, &n) == 0 ? n : 0;
}

int64_t
info_doc_int(const struct info_doc *d, const char *section, const char *key)
{
	return int_of(info_doc_get(d, section, key));
}

bool
info_next_field(struct slice *rest, struct slice *name, struct slice *value)
{
	if (rest->len == 0)
		return false;
	*value = take_until(rest, ',');
	*name = take_until(value, '=');
	return true;
}

struct slice
info_field(struct slice line, const char *wanted)
{
	struct slice name, value;

	while (info_next_field(&line, &name, &value))
		if (slice_eq(name, slice_str(wanted)))
			return value;
	return SLICE("");
}

int64_t
info_field_int(struct slice line, const char *wanted)
{
	return int_of(info_field(line, wanted));
}

static int
hex_digit(char c)
{
	const char *at = c != '\0' ? strchr("0123456789ABCDEF", c) : NULL;

	return at != NULL ? (int)(at - "0123456789ABCDEF") : -1;
}

void
info_name(struct slice key, const char *prefix, char *out, size_t size)
{
	struct text t = text_in(out, size);
	struct slice s = key;

	if (slice_has_prefix(s, slice_str(prefix)))
		s = slice_skip(s, strlen(prefix));
	for (size_t i = 0; i < s.len; i++) {
		int high = i + 2 < s.len && s.ptr[i] == '%' ? hex_digit(s.ptr[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(s.ptr[i + 2]) : -1;

		if (low < 0) {
			text_add(&t, "%c", s.ptr[i]);
			continue;
		}
		text_add(&t, "%c", high * 16 + low != 0 ? high * 16 + low : '?');
		i += 2;
	}
}

/* --- JSON ------------------------------------------------------------------------ */

void
info_json_string(struct slice s, FILE *to)
{
	fputc('"', to);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c < ' ')
			fprintf(to, "\\u%04x", c);
		else
			fputc(c, to);
	}
	fputc('"', to);
}

static size_t
digits(struct slice s)
{
	size_t n = 0;

	while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9')
		n++;
	return n;
}

/* As JSON writes numbers, and short enough to be exact in every reader. */
static bool
is_number(struct slice s)
{
	size_t n;

	if (s.len > 16)
		return false;
	if (s.len != 0 && s.ptr[0] == '-')
		s = slice_skip(s, 1);
	n = digits(s);
	if (n == 0 || (n > 1 && s.ptr[0] == '0'))
		return false;
	s = slice_skip(s, n);
	if (s.len == 0)
		return true;
	return s.ptr[0] == '.' && s.len > 1 && digits(slice_skip(s, 1)) == s.len - 1;
}

static void
json_value(struct slice s, FILE *to)
{
	if (is_number(s))
		fprintf(to, "%.*s", (int)s.len, s.ptr);
	else
		info_json_string(s, to);
}

static void
json_fields(struct slice line, FILE *to)
{
	struct slice name, value;
	const char *gap = "";

	fputc('{', to);
	while (info_next_field(&line, &name, &value)) {
		fputs(gap, to);
		info_json_string(name, to);
		fputc(':', to);
		json_value(value, to);
		gap = ",";
	}
	fputc('}', to);
}

/* Sections whose lines are rows, and what each key begins with. */
static const struct {
	const char *section, *prefix;
} tables[] = {
	{ "Namespaces", "ns_" }, { "Origins", "origin_" }, { "Commandstats", "cmdstat_" },
	{ "Keyspace", "" }, { "Invalidations", "stream_" },
};

static void
json_line(const struct info_line *l, FILE *to)
{
	char name[256] = "";

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		if (!slice_eq(l->section, slice_str(tables[i].section)))
			continue;
		info_name(l->key, tables[i].prefix, name, sizeof name);
		info_json_string(slice_str(name), to);
		fputc(':', to);
		json_fields(l->value, to);
		return;
	}
	info_json_string(l->key, to);
	fputc(':', to);
	json_value(l->value, to);
}

static void
json_section_name(struct slice section, FILE *to)
{
	char name[64] = "";
	size_t n = MIN(section.len, sizeof name);

	for (size_t i = 0; i < n; i++)
		name[i] = section.ptr[i] >= 'A' && section.ptr[i] <= 'Z' ?
		    (char)(section.ptr[i] + 'a' - 'A') : section.ptr[i];
	info_json_string(slice_of(name, n), to);
	fputs(":{", to);
}

void
info_doc_json(const struct info_doc *d, FILE *to)
{
	struct slice section = SLICE("");

	fputc('{', to);
	for (unsigned i = 0; i < d->n; i++) {
		bool begins = i == 0 || !slice_eq(section, d->lines[i].section);

		if (begins) {
			section = d->lines[i].section;
			fputs(i != 0 ? "}," : "", to);
			json_section_name(section, to);
		} else {
			fputc(',', to);
		}
		json_line(&d->lines[i], to);
	}
	fputs(d->n != 0 ? "}}\n" : "}\n", to);
}
