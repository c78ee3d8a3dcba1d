/* reply.c - frames into what they mean. */
#include "config.h"

#include "base/mem.h"
#include "clients/c/src/impl.h"

static const char *const statuses_of[BINARY_OPS] = {
#define BINARY_OP(id, number, name, command, least, types, options, args, statuses, help) \
	[number] = " " statuses " ",
#include "proto/binary.def"
#undef BINARY_OP
};

static const char *const names[] = {
#define BINARY_STATUS(id, number, help) [number] = " " #id " ",
#include "proto/binary.def"
#undef BINARY_STATUS
};

static const char *const plain_names[] = {
#define BINARY_STATUS(id, number, help) [number] = #id,
#include "proto/binary.def"
#undef BINARY_STATUS
};

static const char *const failures[] = {
	[-PANNIER_E_AWAY] = "away", [-PANNIER_E_TIMEOUT] = "timeout",
	[-PANNIER_E_PROTOCOL] = "protocol", [-PANNIER_E_UNEXPECTED] = "unexpected",
	[-PANNIER_E_NOMEM] = "nomem", [-PANNIER_E_ARGS] = "args",
	[-PANNIER_E_LOADER] = "loader",
};

const char *
pannier_status_name(int status)
{
	const char *name = NULL;

	if (status >= 0 && (size_t)status < ARRAY_LEN(plain_names))
		name = plain_names[status];
	else if (status < 0 && status > -(int)ARRAY_LEN(failures))
		name = failures[-status];
	return name != NULL ? name : "unknown";
}

static bool
may_be(enum pannier_op op, uint64_t status)
{
	return status < ARRAY_LEN(names) && names[status] != NULL &&
	    strstr(statuses_of[op], names[status]) != NULL;
}

void
reply_failure(struct pannier_reply *r, int status, const char *text)
{
	*r = (struct pannier_reply){ .status = status, .left_ms = PANNIER_UNKNOWN,
		.age_ms = PANNIER_UNKNOWN, .text = pannier_str(text) };
}

/* --- elements ---------------------------------------------------------------------- */

/* The elements behind a status; the ones kept of more than there may be. */
struct rest {
	const struct binary_value *v;
	size_t n;
	const unsigned char *end; /* of the frame */
};

static bool
take_bytes(const struct rest *rest, size_t i, struct pannier_bytes *out)
{
	if (i >= rest->n || rest->v[i].kind != BINARY_BYTES)
		return false;
	*out = bytes_from(binary_bytes(&rest->v[i]));
	return true;
}

static bool
take_int(const struct rest *rest, size_t i, int64_t *out)
{
	if (i >= rest->n || (rest->v[i].kind != BINARY_INT &&
	    (rest->v[i].kind != BINARY_UINT || rest->v[i].n > INT64_MAX)))
		return false;
	*out = (int64_t)rest->v[i].n;
	return true;
}

static bool
take_int_or_nil(const struct rest *rest, size_t i, int64_t *out)
{
	if (i < rest->n && rest->v[i].kind == BINARY_NIL)
		return true;
	return take_int(rest, i, out);
}

static bool
take_meta(const struct rest *rest, struct pannier_reply *out)
{
	return take_int_or_nil(rest, 1, &out->left_ms) && take_int_or_nil(rest, 2, &out->age_ms) &&
	    take_bytes(rest, 3, &out->token);
}

/* Passes over what is in an array or map. Its frame was checked: 4 levels. */
static void
skip_inside(struct binary_cursor *c, const struct binary_value *v)
{
	uint64_t n = v->kind == BINARY_ARRAY ? v->n : v->kind == BINARY_MAP ? 2 * v->n : 0;
	struct binary_value inner;

	for (uint64_t i = 0; i < n; i++) {
		binary_next(c, &inner);
		skip_inside(c, &inner);
	}
}

static void
next(struct binary_cursor *c, struct binary_value *v)
{
	binary_next(c, v);
	skip_inside(c, v);
}

/* --- replies ------------------------------------------------------------------------ */

static const char incomplete[] = "a reply that lacks an element, or has one of another type";

static void read_item(uint64_t status, const struct rest *rest, enum pannier_op op, size_t n_items,
    struct pannier_reply *out);

static void
read_one(struct binary_cursor *c, const struct binary_value *array, enum pannier_op op,
    struct pannier_reply *out)
{
	struct binary_value v[BINARY_ARGS + 1], extra;
	size_t kept = 0;

	for (uint64_t i = 0; i < array->n; i++) {
		next(c, kept < ARRAY_LEN(v) ? &v[kept] : &extra);
		kept += kept < ARRAY_LEN(v);
	}
	if (kept == 0 || v[0].kind != BINARY_UINT) {
		reply_failure(out, PANNIER_E_UNEXPECTED, incomplete);
		return;
	}
	read_item(v[0].n, &(struct rest){ v + 1, kept - 1, c->end }, op, 0, out);
}

static int
read_items(const struct rest *rest, enum pannier_op op, size_t n_items, struct pannier_reply *out)
{
	struct binary_cursor c;
	struct pannier_reply *items;
	struct binary_value v;

	if (rest->n == 0 || rest->v[0].kind != BINARY_ARRAY || rest->v[0].n != n_items)
		return PANNIER_E_UNEXPECTED;
	items = mem_calloc(n_items, sizeof *items);
	if (items == NULL)
		return PANNIER_E_NOMEM;
	out->items = items;
	out->n_items = n_items;
	c = (struct binary_cursor){ (const unsigned char *)rest->v[0].ptr, rest->end };
	for (size_t i = 0; i < n_items; i++) {
		binary_next(&c, &v);
		if (v.kind != BINARY_ARRAY)
			return PANNIER_E_UNEXPECTED;
		read_one(&c, &v, op, &items[i]);
		if (items[i].status == PANNIER_E_UNEXPECTED)
			return PANNIER_E_UNEXPECTED;
	}
	return 0;
}

/* Behind the fields: how many of them each section has, in their order. */
static void
read_sections(const struct rest *rest, struct pannier_reply *out)
{
	struct pannier_field *fields = (struct pannier_field *)out->fields;
	struct binary_value name, n;
	struct binary_cursor c;
	size_t at = 0;

	if (rest->n < 2 || rest->v[1].kind != BINARY_MAP)
		return;
	c = (struct binary_cursor){ (const unsigned char *)rest->v[1].ptr, rest->end };
	for (uint64_t i = 0; i < rest->v[1].n; i++) {
		next(&c, &name);
		next(&c, &n);
		if (name.kind != BINARY_BYTES || n.kind != BINARY_UINT || n.n > out->n_fields - at)
			return;
		for (uint64_t j = 0; j < n.n; j++)
			fields[at++].section = bytes_from(binary_bytes(&name));
	}
}

static int
read_fields(const struct rest *rest, struct pannier_reply *out)
{
	struct binary_value name, v;
	struct pannier_field *fields;
	struct binary_cursor c;

	if (rest->n == 0 || rest->v[0].kind != BINARY_MAP)
		return PANNIER_E_UNEXPECTED;
	fields = mem_calloc(rest->v[0].n, sizeof *fields);
	if (fields == NULL)
		return PANNIER_E_NOMEM;
	out->fields = fields;
	c = (struct binary_cursor){ (const unsigned char *)rest->v[0].ptr, rest->end };
	for (uint64_t i = 0; i < rest->v[0].n; i++) {
		struct rest one = { &v, 1, rest->end };
		struct pannier_field *f = &fields[out->n_fields];

		next(&c, &name);
		next(&c, &v);
		if (name.kind != BINARY_BYTES)
			continue;
		f->name = bytes_from(binary_bytes(&name));
		f->is_number = take_int(&one, 0, &f->number);
		out->n_fields += f->is_number || take_bytes(&one, 0, &f->text);
	}
	if (out->n_fields == rest->v[0].n)
		read_sections(rest, out);
	return 0;
}

static int
read_done(const struct rest *rest, enum pannier_op op, size_t n_items, struct pannier_reply *out)
{
	switch (op) {
	case PANNIER_OP_GET_MANY: return read_items(rest, PANNIER_OP_GET, n_items, out);
	case PANNIER_OP_SET_MANY: return read_items(rest, PANNIER_OP_SET, n_items, out);
	case PANNIER_OP_DELETE_MANY:
		return take_int(rest, 0, &out->number) ? 0 : PANNIER_E_UNEXPECTED;
	case PANNIER_OP_STATS: return read_fields(rest, out);
	case PANNIER_OP_PING:
		return rest->n == 0 || take_bytes(rest, 0, &out->value) ? 0 : PANNIER_E_UNEXPECTED;
	default: return 0;
	}
}

static bool
read_value(const struct rest *rest, enum pannier_op op, struct pannier_reply *out)
{
	if (op == PANNIER_OP_PEEK)
		return take_int(rest, 0, &out->number) && take_meta(rest, out);
	return take_bytes(rest, 0, &out->value) && (rest->n < 4 || take_meta(rest, out));
}

static void
read_item(uint64_t status, const struct rest *rest, enum pannier_op op, size_t n_items,
    struct pannier_reply *out)
{
	int rc = 0;
	bool ok = true;

	reply_failure(out, 0, "");
	if (!may_be(op, status)) {
		reply_failure(out, PANNIER_E_UNEXPECTED, "a status that the operation cannot have");
		return;
	}
	out->status = (int)status;
	if (status <= PANNIER_COALESCED)
		ok = read_value(rest, op, out);
	else if (status == PANNIER_LEASE)
		ok = take_bytes(rest, 0, &out->token) && (rest->n < 2 ||
		    rest->v[1].kind == BINARY_NIL || take_bytes(rest, 1, &out->value));
	else if (status == PANNIER_STORED && op == PANNIER_OP_INCR)
		ok = take_int(rest, 0, &out->number);
	else if (status == PANNIER_ERROR)
		ok = take_bytes(rest, 0, &out->code) && take_bytes(rest, 1, &out->text);
	else if (status == PANNIER_DONE)
		rc = read_done(rest, op, n_items, out);
	if (!ok)
		rc = PANNIER_E_UNEXPECTED;
	if (rc == 0)
		return;
	reply_fini(out);
	reply_failure(out, rc, rc == PANNIER_E_NOMEM ? "no memory for the reply" : incomplete);
}

void
reply_read(const struct binary_frame *f, enum pannier_op op, size_t n_items,
    struct pannier_reply *out)
{
	struct binary_value v[BINARY_ARGS + 1];
	size_t n = MIN(f->argc, BINARY_ARGS);

	if (likely(op == PANNIER_OP_GET && f->b == PANNIER_HIT && f->argc == 1 &&
	        f->argv[0].kind == BINARY_BYTES && !f->has_options)) {
		*out = (struct pannier_reply){ .left_ms = PANNIER_UNKNOWN,
			.age_ms = PANNIER_UNKNOWN, .text.ptr = "",
			.value = bytes_from(binary_bytes(&f->argv[0])) };
		return;
	}
	memcpy(v, f->argv, n * sizeof *v);
	if (f->has_options && n == f->argc)
		v[n++] = f->options;
	read_item(f->b, &(struct rest){ v, n, f->end }, op, n_items, out);
}

void
reply_fini(struct pannier_reply *r)
{
	if (unlikely(r->items != NULL))
		mem_free((void *)r->items);
	if (unlikely(r->fields != NULL))
		mem_free((void *)r->fields);
	r->items = NULL;
	r->fields = NULL;
}

/* --- copies: one block of memory ---------------------------------------------------- */

static size_t
bytes_of(const struct pannier_reply *r)
{
	return r->value.len + r->token.len + r->code.len + r->text.len;
}

static void
move(struct pannier_bytes *b, char **to)
{
	if (b->len != 0)
		memcpy(*to, b->ptr, b->len);
	if (b->ptr != NULL)
		b->ptr = *to;
	*to += b->len;
}

static void
move_all(struct pannier_reply *r, char **to)
{
	move(&r->value, to);
	move(&r->token, to);
	move(&r->code, to);
	move(&r->text, to);
}

struct pannier_reply *
reply_copy(const struct pannier_reply *r)
{
	size_t heads = sizeof *r + r->n_items * sizeof *r + r->n_fields * sizeof *r->fields;
	size_t bytes = bytes_of(r) + 1;
	struct pannier_reply *copy, *items;
	struct pannier_field *fields;
	char *to;

	for (size_t i = 0; i < r->n_items; i++)
		bytes += bytes_of(&r->items[i]);
	for (size_t i = 0; i < r->n_fields; i++)
		bytes += r->fields[i].section.len + r->fields[i].name.len + r->fields[i].text.len;
	copy = mem_alloc(heads + bytes);
	if (copy == NULL)
		return NULL;
	*copy = *r;
	items = copy + 1;
	fields = (struct pannier_field *)(items + r->n_items);
	to = (char *)copy + heads;
	move_all(copy, &to);
	for (size_t i = 0; i < r->n_items; i++) {
		items[i] = r->items[i];
		move_all(&items[i], &to);
	}
	for (size_t i = 0; i < r->n_fields; i++) {
		fields[i] = r->fields[i];
		move(&fields[i].section, &to);
		move(&fields[i].name, &to);
		move(&fields[i].text, &to);
	}
	copy->items = r->n_items != 0 ? items : NULL;
	copy->fields = r->n_fields != 0 ? fields : NULL;
	return copy;
}

void
pannier_reply_free(struct pannier_reply *reply)
{
	mem_free(reply);
}

/* --- the preface --------------------------------------------------------------------- */

/* ["pannier", version, {...}] is read as the reply [0, version, {...}]: the same checks. */
static const char *
offer_frame(const char *body, size_t len, char *copy, struct binary_batch *b)
{
	static const char name[] = "\xa7" BINARY_NAME;
	struct binary_parser p = { .max_frame = BINARY_HELLO_MAX, .replies = true };
	size_t cut = sizeof name - 1, n, used;

	if (len < 1 + cut || len > BINARY_HELLO_MAX || memcmp(body + 1, name, cut) != 0)
		return "the answer to the preface is none";
	n = len - cut + 1;
	copy[0] = (char)0xcd;
	copy[1] = (char)(n >> 8);
	copy[2] = (char)n;
	copy[3] = body[0];
	copy[4] = 0;
	memcpy(copy + 5, body + 1 + cut, len - 1 - cut);
	if (binary_parse(&p, copy, 3 + n, b, &used) != PARSE_DONE || b->n != 1)
		return "the answer to the preface is none";
	return NULL;
}

const char *
offer_read(const char *body, size_t len, struct offer *out)
{
	char copy[BINARY_HELLO_MAX + 8];
	struct binary_batch b;
	struct binary_cursor c;
	struct binary_value key, v;
	const char *wrong = offer_frame(body, len, copy, &b);

	*out = (struct offer){ .max_frame = UINT32_MAX };
	if (wrong != NULL)
		return wrong;
	if (!b.req[0].has_options)
		return "the answer to the preface is none";
	out->version = b.req[0].b;
	c = binary_elements(&b.req[0], &b.req[0].options);
	for (uint64_t i = 0; i < b.req[0].options.n; i++) {
		next(&c, &key);
		next(&c, &v);
		if (key.kind != BINARY_BYTES)
			continue;
		if (slice_eq(binary_bytes(&key), SLICE("max_frame")) && v.kind == BINARY_UINT)
			out->max_frame = v.n;
		else if (slice_eq(binary_bytes(&key), SLICE("error")) && v.kind == BINARY_BYTES)
			/* In the caller's bytes. */
			out->error = pannier_bytes(body + (v.ptr - copy) + sizeof BINARY_NAME - 4, v.n);
	}
	return NULL;
}
