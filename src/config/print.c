/* print.c - the configuration for people: as YAML, as flags, as a reference. */
#include <config.h>

#include <ctype.h>

#include "base/parse.h"
#include "config/machine.h"
#include "config/schema.h"
#include "config/text.h"
#include "config/value.h"

/* --- YAML ------------------------------------------------------------------------- */

/* The character at s and its bytes; s is UTF-8, since libyaml made it. */
static unsigned
utf8_decode(const char *s, size_t *len)
{
	unsigned char first = (unsigned char)*s;
	unsigned code;

	*len = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	code = *len == 1 ? first : first & (0xffu >> (*len + 1));
	for (size_t i = 1; i < *len && s[i] != '\0'; i++)
		code = code << 6 | ((unsigned char)s[i] & 0x3f);
	return code;
}

/* What a YAML file may have as it is, and does not take for a line's end. */
static bool
is_plain(unsigned code)
{
	return (code >= ' ' && code < 0x7f && code != '"' && code != '\\') ||
	    (code >= 0xa0 && code != 0x2028 && code != 0x2029 && code != 0xfeff &&
	        code != 0xfffe && code != 0xffff);
}

static void
print_quoted(const char *s, FILE *to)
{
	size_t len;

	fputc('"', to);
	for (; *s != '\0'; s += len) {
		unsigned code = utf8_decode(s, &len);

		if (is_plain(code))
			fprintf(to, "%.*s", (int)len, s);
		else if (code == '"' || code == '\\')
			fprintf(to, "\\%c", (int)code);
		else
			fprintf(to, "\\U%08X", code);
	}
	fputc('"', to);
}

/* Text always in quotes: "no", "0660" and "~" then stay what they are. */
static void
print_scalar(const struct field *f, const void *base, FILE *to)
{
	char text[2048];

	if (field_owns_text(f) && f->kind != VALUE_ADDRESS) {
		print_quoted(*(char *const *)field_at(f, base), to);
		return;
	}
	value_text(f, base, false, text, sizeof text);
	if (f->kind == VALUE_MODE || f->kind == VALUE_ADDRESS)
		print_quoted(text, to);
	else
		fputs(text, to);
}

static void print_mapping(const struct schema *s, const void *base, int indent, bool in_list,
    FILE *to);

static void
print_values(const struct field *f, const void *base, FILE *to)
{
	const struct field one = { .kind = f->element };
	const char *array = *(char *const *)field_at(f, base);

	fputc('[', to);
	for (unsigned i = 0; i < *field_count(f, base); i++) {
		fputs(i != 0 ? ", " : "", to);
		print_scalar(&one, array + i * element_size(f), to);
	}
	fputs("]\n", to);
}

static void
print_field(const struct field *f, const void *base, int indent, FILE *to)
{
	fprintf(to, "%s:", f->key);
	if (f->kind == FIELD_PART) {
		fputc('\n', to);
		print_mapping(f->sub, base, indent + 2, false, to);
		return;
	}
	fputc(' ', to);
	if (f->kind == FIELD_VALUES) {
		print_values(f, base, to);
		return;
	}
	print_scalar(f, base, to);
	fputc('\n', to);
}

/* Of a listener, and of a namespace, only what belongs to its kind. */
static bool
field_is_shown(const struct schema *s, const struct field *f, const void *base)
{
	const struct config_listen *l = base;
	const struct config_namespace *ns = base;

	if (s == &namespace_schema && ns->origin == NULL && namespace_field_is_routed(f))
		return false;
	if (s == &listen_schema && !l->is_unix && listen_field_is_unix(f))
		return false;
	if (f->kind == FIELD_PART)
		return origin_part_is_used(f, base); /* only origins have parts */
	if (f->kind == FIELD_VALUES)
		return *field_count(f, base) != 0;
	return field_is_array(f) || value_is_set(f, base);
}

static void
print_mapping(const struct schema *s, const void *base, int indent, bool in_list, FILE *to)
{
	bool first = in_list;

	for (unsigned i = 0; i < s->n; i++) {
		if (!field_is_shown(s, &s->fields[i], base))
			continue;
		if (first)
			fprintf(to, "%*s- ", indent - 2, "");
		else
			fprintf(to, "%*s", indent, "");
		first = false;
		print_field(&s->fields[i], base, indent, to);
	}
}

/* The default namespace is shown where the file would have to say something. */
static bool
element_is_shown(const struct config *c, const void *element)
{
	const struct config_namespace *ns = &c->namespaces[0];
	struct config_namespace plain = { 0 };

	if (element != ns || schema_defaults(&namespace_schema, &plain) != 0)
		return true;
	return ns->origin != NULL || ns->ttl_ms != plain.ttl_ms || ns->coalesce != plain.coalesce ||
	    ns->lease_ms != plain.lease_ms ||
	    ns->lease_holder != plain.lease_holder || ns->grace_ms != plain.grace_ms ||
	    ns->write != plain.write || ns->class != plain.class ||
	    ns->min_memory != plain.min_memory || ns->max_memory != plain.max_memory;
}

/* As it is named where it was set. */
static void
print_origin(const struct config *c, unsigned row, FILE *to)
{
	static const char *const sources[] = { "default", "file", "environment", "flag",
		"CONFIG SET" };
	enum config_source source = (enum config_source)c->sources[row];
	const char *key = config_schema.fields[row].key;

	fprintf(to, " # %s", sources[source]);
	if (source == CONFIG_FILE)
		fprintf(to, ":%u", (unsigned)c->lines[row]);
	else if (source == CONFIG_ENV)
		fputs(" PANNIER_", to);
	else if (source == CONFIG_FLAG)
		fputs(" --", to);
	for (; (source == CONFIG_ENV || source == CONFIG_FLAG) && *key != '\0'; key++)
		fputc(source == CONFIG_ENV ? toupper((unsigned char)*key) :
		    *key == '_' ? '-' : *key, to);
}

/* What `auto` comes to here, where this layer knows. */
static void
print_source(const struct config *c, unsigned row, FILE *to)
{
	const struct field *f = &config_schema.fields[row];
	struct machine m;
	char here[FORMAT_MAX];

	print_origin(c, row, to);
	machine_read(machine_root(), &m);
	if (f->offset == offsetof(struct config, memory) && c->memory == CONFIG_AUTO)
		fprintf(to, "; %.*s here", (int)format_bytes(here, machine_memory(&m)), here);
	if (f->offset == offsetof(struct config, threads) && c->threads == CONFIG_AUTO)
		fprintf(to, "; %u here", machine_threads(&m));
}

static void
print_array(const struct config *c, unsigned row, bool sources, FILE *to)
{
	const struct field *f = &config_schema.fields[row];
	const char *array = *(char *const *)field_at(f, c);
	bool headed = false;

	for (unsigned i = 0; i < *field_count(f, c); i++) {
		const void *element = array + i * f->sub->size;

		if (!element_is_shown(c, element))
			continue;
		if (!headed) {
			fprintf(to, "%s:", f->key);
			if (sources)
				print_source(c, row, to);
			fputc('\n', to);
		}
		headed = true;
		if (f->kind == FIELD_MAP) {
			fprintf(to, "  ");
			print_quoted(*(char *const *)element, to);
			fprintf(to, ":\n");
		}
		print_mapping(f->sub, element, 4, f->kind == FIELD_LIST, to);
	}
}

void
config_print(const struct config *c, bool sources, FILE *to)
{
	for (unsigned i = 0; i < config_option_count(); i++) {
		const struct field *f = &config_schema.fields[i];

		if (!value_is_set(f, c))
			continue;
		fprintf(to, "%s: ", f->key);
		print_scalar(f, c, to);
		if (sources)
			print_source(c, i, to);
		fputc('\n', to);
	}
	for (unsigned i = config_option_count(); i < config_schema.n; i++)
		print_array(c, i, sources, to);
}

/* --- flags ------------------------------------------------------------------------- */

static void
print_flag(const char *key, const char *metavar, const char *help, const char *def, FILE *to)
{
	char head[64], prose[512];
	struct text h = text_in(head, sizeof head), p = text_in(prose, sizeof prose);

	text_add(&h, "    --");
	for (; *key != '\0'; key++)
		text_add(&h, "%c", *key == '_' ? '-' : *key);
	text_add(&h, "=%s", metavar);
	text_add(&p, "%s", help);
	if (def != NULL)
		text_add(&p, " [%s]", def);
	help_row(to, head, prose);
}

void
config_print_flags(FILE *to)
{
	print_flag("listen", "ADDRESS", CONFIG_LISTEN_HELP, NULL, to);
	for (unsigned i = 0; i < config_option_count(); i++) {
		const struct field *f = &config_schema.fields[i];

		print_flag(f->key, value_metavar(f), f->help, f->def, to);
	}
}

/* --- reference ---------------------------------------------------------------------- */

static void
print_cell(const char *text, FILE *to)
{
	if (text != NULL && *text != '\0')
		fprintf(to, " `%s` |", text);
	else
		fprintf(to, " |");
}

/* Names of values, or bounds. */
static void
print_range(const struct field *f, FILE *to)
{
	char out[128];
	const char *names[8];
	struct text t = text_in(out, sizeof out);
	unsigned n = f->kind < VALUE_KINDS ? value_names(f, names, ARRAY_LEN(names)) : 0;

	for (unsigned i = 0; i < n; i++)
		text_add(&t, "%s%s", i != 0 ? ", " : "", names[i]);
	if (f->least != NULL && f->most != NULL)
		text_add(&t, "%s to %s", f->least, f->most);
	else if (f->most != NULL)
		text_add(&t, "at most %s", f->most);
	fprintf(to, *out != '\0' ? " %s |" : " |", out);
}

static void
print_scalar_rows(FILE *to)
{
	fprintf(to, "| option | type | default | values | while running | Redis's name |\n"
	            "|---|---|---|---|---|---|\n");
	for (unsigned i = 0; i < config_option_count(); i++) {
		const struct field *f = &config_schema.fields[i];

		fprintf(to, "| `%s` | %s |", f->key, value_noun(f));
		print_cell(f->def, to);
		print_range(f, to);
		fprintf(to, " %s |", f->runtime ? "yes" : "no");
		print_cell(f->redis, to);
		fprintf(to, "\n");
	}
	fprintf(to, "\n");
	for (unsigned i = 0; i < config_option_count(); i++)
		fprintf(to, "- `%s`: %s\n", config_option_name(i), config_option_help(i));
}

static void
print_type(const struct field *f, FILE *to)
{
	const struct field one = { .kind = f->element };

	if (f->kind == FIELD_VALUES)
		fprintf(to, " list: %s |", value_noun(&one));
	else
		fprintf(to, " %s |", value_noun(f));
}

static void
print_sub_rows(const struct schema *s, const char *above, FILE *to)
{
	for (unsigned i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		char key[64];
		struct text t = text_in(key, sizeof key);

		text_add(&t, "%s%s", above, f->key);
		if (f->kind == FIELD_PART) {
			text_add(&t, ".");
			print_sub_rows(f->sub, key, to);
			continue;
		}
		fprintf(to, "| `%s`%s |", key, f->required ? ", needed" : "");
		print_type(f, to);
		print_cell(f->def, to);
		print_range(f, to);
		fprintf(to, " %s |\n", f->help);
	}
}

void
config_print_reference(FILE *to)
{
	fprintf(to, "### Options\n\n");
	print_scalar_rows(to);
	for (unsigned i = config_option_count(); i < config_schema.n; i++) {
		const struct field *f = &config_schema.fields[i];

		fprintf(to, "\n### `%s`\n\n%s %s, at most %u.\n\n", f->key, f->help,
		    f->kind == FIELD_LIST ? "A list" : "A mapping by name", f->max);
		fprintf(to, "| key | type | default | values | meaning |\n|---|---|---|---|---|\n");
		print_sub_rows(f->sub, "", to);
	}
}
