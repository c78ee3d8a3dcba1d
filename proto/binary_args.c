/* binary_args.c - whether a request's arguments and options are what its row in
 * binary.def says. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>

#include "proto/binary.h"

static const struct option_row {
	const char *name;
	enum { UINT, INT, FLAG, BYTES } kind;
	int64_t least, most;
} options[BINARY_OPTIONS] = {
#define BINARY_OPTION(id, number, kind, least, most, ...) \
	[number] = { #id, kind, least, most },
#include "proto/binary.def"
#undef BINARY_OPTION
};

/* Of these a request may have one. */
#define CONDITIONS \
	(1u << BINARY_OPTION_if_absent | 1u << BINARY_OPTION_if_present | \
	    1u << BINARY_OPTION_if_token | 1u << BINARY_OPTION_if_value | \
	    1u << BINARY_OPTION_lease)

/* One check of one request. */
struct check {
	const struct binary_frame *f;
	const struct binary_op_row *row;
	uint64_t max_value;
	struct binary_options *o;
	struct binary_refusal *why;
};

PRINTF(3, 4) static bool
refuse(const struct check *k, enum binary_error code, const char *fmt, ...)
{
	va_list ap;

	k->why->code = code;
	va_start(ap, fmt);
	vsnprintf(k->why->text, sizeof k->why->text, fmt, ap);
	va_end(ap);
	return false;
}

PRINTF(2, 3) static bool
refuse_args(const struct check *k, const char *fmt, ...)
{
	char text[96];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return refuse(k, BINARY_ERROR_args, "%s: %s", k->row->name, text);
}

/* --- arguments -------------------------------------------------------------------- */

static bool
is_bytes(const struct check *k, const struct binary_value *v)
{
	return v->kind == BINARY_BYTES && v->n <= k->max_value;
}

/* How an argument of this letter must look. */
static const char *
shape(char type)
{
	switch (type) {
	case 't':
		return "a time to live: nil, or 1 to 2^47 milliseconds";
	case 'i':
		return "an integer of 64 bits";
	case 'u':
		return "an integer of 0 to 4294967295";
	case 'T':
		return "a token: 1 to 16 bytes";
	case 'K':
		return "an array of keys";
	case 'P':
		return "an array of keys and their values";
	default:
		return "bytes, max_value of them at most";
	}
}

static bool
is_int64(const struct binary_value *v)
{
	return v->kind == BINARY_INT || (v->kind == BINARY_UINT && v->n <= INT64_MAX);
}

static bool
all_bytes(const struct check *k, const struct binary_value *array)
{
	struct binary_cursor c = binary_elements(k->f, array);
	struct binary_value v;

	for (uint64_t i = 0; i < array->n; i++) {
		binary_next(&c, &v);
		if (!is_bytes(k, &v))
			return false;
	}
	return true;
}

static bool
fits(const struct check *k, char type, const struct binary_value *v)
{
	switch (type) {
	case 't':
		return v->kind == BINARY_NIL ||
		    (v->kind == BINARY_UINT && v->n >= 1 && v->n <= (uint64_t)BINARY_TTL_MAX);
	case 'i':
		return is_int64(v);
	case 'u':
		return v->kind == BINARY_UINT && v->n <= UINT32_MAX;
	case 'T':
		return v->kind == BINARY_BYTES && v->n >= 1 && v->n <= BINARY_TOKEN_MAX;
	case 'K':
		return v->kind == BINARY_ARRAY && all_bytes(k, v);
	case 'P':
		return v->kind == BINARY_ARRAY && v->n % 2 == 0 && all_bytes(k, v);
	default:
		return is_bytes(k, v);
	}
}

static bool
too_many(char type, const struct binary_value *v)
{
	uint64_t most = type == 'P' ? 2 * BINARY_BATCH_KEYS : BINARY_BATCH_KEYS;

	return (type == 'K' || type == 'P') && v->kind == BINARY_ARRAY && v->n > most;
}

static bool
check_arguments(const struct check *k)
{
	const struct binary_frame *f = k->f;
	const char *types = k->row->types;
	size_t most = strlen(types);

	if (unlikely(f->argc < k->row->least || f->argc > most))
		return refuse_args(k, "wants %u to %zu arguments and then options, if any",
		    k->row->least, most);
	for (uint32_t i = 0; i < f->argc; i++) {
		if (unlikely(too_many(types[i], &f->argv[i])))
			return refuse_args(k, "at most %d keys in one batch", BINARY_BATCH_KEYS);
		if (unlikely(!fits(k, types[i], &f->argv[i])))
			return refuse_args(k, "argument %u must be %s", i + 1, shape(types[i]));
	}
	return true;
}

int64_t
binary_ttl(const struct binary_frame *f, unsigned i)
{
	return f->argc > i && f->argv[i].kind == BINARY_UINT ? (int64_t)f->argv[i].n : 0;
}

/* --- options ------------------------------------------------------------------------ */

static bool
has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = words; (p = strstr(p, word)) != NULL; p += len)
		if ((p == words || p[-1] == ' ') && (p[len] == '\0' || p[len] == ' '))
			return true;
	return false;
}

/* NULL: the refusal is written. */
static const struct option_row *
option_find(const struct check *k, const struct binary_value *key)
{
	const struct option_row *row;

	if (key->kind != BINARY_UINT) {
		refuse_args(k, "options are a map whose keys are integers");
		return NULL;
	}
	row = key->n < BINARY_OPTIONS ? &options[key->n] : NULL;
	if (row == NULL || row->name == NULL || !has_word(k->row->options, row->name)) {
		refuse_args(k, "has no option %llu", (unsigned long long)key->n);
		return NULL;
	}
	return row;
}

static bool
option_fits(const struct option_row *row, const struct binary_value *v)
{
	switch (row->kind) {
	case UINT:
		return v->kind == BINARY_UINT && v->n >= (uint64_t)row->least &&
		    v->n <= (uint64_t)row->most;
	case INT:
		return is_int64(v);
	case FLAG:
		return v->kind == BINARY_FLAG;
	case BYTES:
		return v->kind == BINARY_BYTES && v->n >= (uint64_t)row->least &&
		    v->n <= (uint64_t)row->most;
	}
	return false;
}

static bool
refuse_option(const struct check *k, const struct option_row *row)
{
	static const char *const kinds[] = { "an integer", "an integer of 64 bits", "a flag",
		"bytes" };

	if (row->kind == UINT || row->kind == BYTES)
		return refuse_args(k, "%s must be %s of %lld to %lld", row->name, kinds[row->kind],
		    (long long)row->least, (long long)row->most);
	return refuse_args(k, "%s must be %s", row->name, kinds[row->kind]);
}

static void
option_keep(struct binary_options *o, enum binary_option number, const struct binary_value *v)
{
	switch (number) {
	case BINARY_OPTION_deadline_ms:
		o->deadline_ms = (int64_t)v->n;
		break;
	case BINARY_OPTION_grace_ms:
		o->grace_ms = (int64_t)v->n;
		break;
	case BINARY_OPTION_ttl_ms:
		o->ttl_ms = (int64_t)v->n;
		break;
	case BINARY_OPTION_initial:
		o->initial = (int64_t)v->n;
		break;
	case BINARY_OPTION_if_token:
		o->if_token = binary_bytes(v);
		break;
	case BINARY_OPTION_if_value:
		o->if_value = binary_bytes(v);
		break;
	case BINARY_OPTION_lease:
		o->lease = binary_bytes(v);
		break;
	case BINARY_OPTION_meta:
	case BINARY_OPTION_if_absent:
	case BINARY_OPTION_if_present:
		if (v->n == 0)
			return;
		break;
	}
	o->given |= 1u << number;
}

static bool
check_options(const struct check *k)
{
	const struct binary_value *map = &k->f->options;
	struct binary_cursor c = binary_elements(k->f, map);
	struct binary_value key, v;
	const struct option_row *row;
	uint32_t seen = 0, conditions;

	if (map->n > BINARY_OPTIONS)
		return refuse_args(k, "at most %d options", BINARY_OPTIONS);
	for (uint64_t i = 0; i < map->n; i++) {
		binary_next(&c, &key);
		row = option_find(k, &key);
		if (row == NULL)
			return false;
		if (seen & 1u << key.n)
			return refuse_args(k, "%s is given twice", row->name);
		seen |= 1u << key.n;
		binary_next(&c, &v);
		if (!option_fits(row, &v))
			return refuse_option(k, row);
		option_keep(k->o, (enum binary_option)key.n, &v);
	}
	conditions = k->o->given & CONDITIONS;
	if (conditions & (conditions - 1))
		return refuse_args(k, "at most one condition");
	return true;
}

bool
binary_check(const struct binary_frame *f, uint64_t max_value, struct binary_options *o,
    struct binary_refusal *why)
{
	struct check k = { .f = f, .max_value = max_value, .o = o, .why = why };

	o->given = 0;
	if (unlikely(f->a >= BINARY_OPS || binary_ops[f->a].name == NULL))
		return refuse(&k, BINARY_ERROR_unknown, "there is no operation %u", f->a);
	k.row = &binary_ops[f->a];
	if (unlikely(!check_arguments(&k)))
		return false;
	return likely(!f->has_options) || check_options(&k);
}
