/* STATS, PING, CANCEL and AUTH of the binary protocol. */
#include "config.h"

#include <errno.h>

#include "base/parse.h"
#include "server/binary_call.h"
#include "server/door.h"
#include "server/info_text.h"

/* --- STATS ------------------------------------------------------------------------- */

/* The next line of INFO that has a field, and the title above it, which stays as it is
 * where none comes; false: there is none. */
static bool
next_field(struct slice *text, struct slice *title, struct slice *name, struct slice *value)
{
	while (text->len > 0) {
		const char *end = memchr(text->ptr, '\r', text->len);
		size_t len = end != NULL ? (size_t)(end - text->ptr) : text->len;
		const char *colon = memchr(text->ptr, ':', len);
		struct slice line = slice_of(text->ptr, len);

		*text = slice_skip(*text, MIN(len + 2, text->len));
		if (slice_has_prefix(slice_of(line.ptr, len), SLICE("# ")))
			*title = slice_of(line.ptr + 2, len - 2);
		if (colon == NULL || line.ptr[0] == '#')
			continue;
		*name = slice_of(line.ptr, (size_t)(colon - line.ptr));
		*value = slice_skip(line, name->len + 1);
		return true;
	}
	return false;
}

static void
put_field(struct out *o, struct slice name, struct slice value)
{
	int64_t n;

	binary_put_str(o, name);
	if (parse_i64(value, &n) == 0)
		binary_put_int(o, n);
	else
		binary_put_str(o, value);
}

/* Of a section with fields: its title and how many. False: there are no more. */
static bool
next_section(struct slice *text, struct slice *title, size_t *n)
{
	struct slice rest, name, value, next_title = SLICE("");

	rest = *text;
	*n = 0;
	while (next_field(&rest, &next_title, &name, &value)) {
		if (*n != 0 && next_title.ptr != title->ptr)
			return true;
		*title = next_title;
		*text = rest;
		++*n;
	}
	return *n != 0;
}

static void
put_fields(struct out *o, struct slice text)
{
	struct slice rest = text, title = SLICE(""), name, value;
	size_t n = 0;

	while (next_field(&rest, &title, &name, &value))
		n++;
	binary_put_map(o, n);
	while (next_field(&text, &title, &name, &value))
		put_field(o, name, value);
}

static void
put_sections(struct out *o, struct slice text)
{
	struct slice rest = text, title;
	size_t n, sections = 0;

	while (next_section(&rest, &title, &n))
		sections++;
	binary_put_map(o, sections);
	while (next_section(&text, &title, &n)) {
		binary_put_str(o, title);
		binary_put_uint(o, n);
	}
}

void
binary_op_stats(struct binary_call *b)
{
	struct slice section = b->f->argc > 0 ? binary_bytes(&b->f->argv[0]) : SLICE("default");
	struct info info = { .sl = b->c.sl, .session = b->c.session, .now_ms = b->c.now_ms };
	struct out *o = binary_out(b);
	struct binary_mark m;

	buf_init(&info.text);
	info_write(&info, &section, 1);
	if (info.failed) {
		binary_put_failed(b, -ENOMEM);
	} else {
		m = binary_begin(o);
		binary_put_array(o, 4);
		binary_put_uint(o, binary_id(b));
		binary_put_uint(o, BINARY_done);
		put_fields(o, buf_slice(&info.text));
		put_sections(o, buf_slice(&info.text));
		binary_end(o, m);
	}
	buf_fini(&info.text);
}

/* --- the connection ------------------------------------------------------------------- */

void
binary_op_ping(struct binary_call *b)
{
	if (b->f->argc == 0)
		binary_answer(b, BINARY_done);
	else
		binary_reply_value(binary_out(b), binary_id(b), BINARY_done, binary_key(b));
}

void
binary_op_cancel(struct binary_call *b)
{
	uint32_t target = (uint32_t)b->f->argv[0].n;

	binary_answer(b, binary_cancel(b->c.session, target) ? BINARY_done : BINARY_miss);
}

void
binary_op_auth(struct binary_call *b)
{
	struct slice user = b->f->argc > 1 ? binary_bytes(&b->f->argv[1]) : SLICE("default");

	if (door_authenticate(b->c.session, user, binary_key(b)))
		binary_answer(b, BINARY_done);
	else
		reply_error(b->c.reply,
		    "WRONGPASS invalid username-password pair or user is disabled.");
}
