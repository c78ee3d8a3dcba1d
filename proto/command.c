#include "config.h"

#include "proto/command.h"

#include <assert.h>

#include "base/parse.h"
#include "base/util.h"

/* Names are found through their first and last eight bytes, taken as numbers:
 * with the length these are the whole name, up to NAME_WHOLE bytes. Letters
 * differ from their capitals in one bit, which is left out of the hash, and of
 * the comparison where the name has a letter. */
#define NAME_WHOLE 16
#define NAME_MAX_LEN 24
#define SLOT_BITS 9
#define SLOTS (1u << SLOT_BITS)
#define NO_PARENT CMD_COUNT

#define ROW(row, text, ari, flg, first, last, step, grp, snc, cplx, summ, syn, acc, tip) \
	[row] = { .id = row, .parent = row, .name = text, \
		.arity = ari, .flags = flg, .first_key = first, .last_key = last, \
		.key_step = step, .container = ((flg) & CMD_CONTAINER) != 0, .group = grp, \
		.since = snc, .complexity = cplx, .summary = summ, .syntax = syn, \
		.access = acc, .tips = tip },
#define COMMAND(row, ...) ROW(CMD_ID_##row, __VA_ARGS__)
#define CONTAINER(row, text, ari, flg, ...) \
	ROW(CMD_ID_##row, text, ari, (flg) | CMD_CONTAINER, __VA_ARGS__)
/* Names of our own have a dot, which no id can have. */
#define pannier_origin pannier.origin
#define SUBCOMMAND(of, row, text, ari, flg, first, last, step, grp, snc, cplx, summ, syn, acc, \
    tip) \
	[CMD_ID_##of##_##row] = { .id = CMD_ID_##of##_##row, .parent = CMD_ID_##of, \
		.name = STRINGIFY(of) "|" text, .arity = ari, .flags = flg, .first_key = first, \
		.last_key = last, .key_step = step, .group = grp, .since = snc, \
		.complexity = cplx, .summary = summ, .syntax = syn, .access = acc, .tips = tip },

const struct command command_table[CMD_COUNT] = {
#include "proto/commands.def"
};
#undef ROW
#undef COMMAND
#undef CONTAINER
#undef SUBCOMMAND
#undef pannier_origin

/* The hash must stay sparse, and its slots are bytes. */
static_assert(CMD_COUNT <= SLOTS / 2 && CMD_COUNT < 255, "enlarge the index");

#define COMMAND(row, text, ...) static_assert(sizeof(text) - 1 <= NAME_MAX_LEN, text);
#define CONTAINER(row, text, ...) COMMAND(row, text)
#define SUBCOMMAND(of, row, text, ...) COMMAND(row, text)
#include "proto/commands.def"
#undef COMMAND
#undef CONTAINER
#undef SUBCOMMAND

struct name_key {
	uint64_t a, b;   /* b: 0 in names of up to eight bytes */
	uint64_t strict; /* bits of a that must be equal */
	uint32_t tag;    /* length, and above it the parent, NO_PARENT at the top */
};

static struct name_key keys[CMD_COUNT];
static uint8_t slots[SLOTS]; /* 1 + id, 0: free; probed upwards */

static inline uint64_t
load32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline uint64_t
load64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

#define CASE_BITS 0x2020202020202020ull

/* A-Z of all eight bytes to a-z, other bytes as they are. */
static uint64_t
fold(uint64_t v)
{
	uint64_t low = v & 0x7f7f7f7f7f7f7f7full;
	uint64_t from_a = low + 0x3f3f3f3f3f3f3f3full;   /* bit 7: >= 'A' */
	uint64_t behind_z = low + 0x2525252525252525ull; /* bit 7: > 'Z' */

	return v | ((from_a & ~behind_z & ~v & 0x8080808080808080ull) >> 2);
}

/* Loads overlap, so that each length needs two or three and no loop. */
static inline struct name_key
key_of(struct slice name, uint32_t parent)
{
	struct name_key k = { .tag = (uint32_t)name.len | parent << 8 };
	const unsigned char *p = (const unsigned char *)name.ptr;
	const char *end = name.ptr + name.len;

	if (name.len > 8) {
		k.a = load64(name.ptr);
		k.b = fold(load64(end - 8));
	} else if (name.len >= 4) {
		k.a = load32(name.ptr) | load32(end - 4) << 32;
	} else if (name.len > 0) {
		k.a = p[0] | (uint64_t)p[name.len / 2] << 8 | (uint64_t)p[name.len - 1] << 16;
	}
	return k;
}

static inline uint32_t
key_slot(const struct name_key *k)
{
	uint64_t h = ((k->a | CASE_BITS) + k->b + k->tag) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(h >> (64 - SLOT_BITS));
}

static inline bool
key_fits(const struct name_key *row, const struct name_key *k)
{
	return (((row->a ^ k->a) & row->strict) | (row->b ^ k->b) | (row->tag ^ k->tag)) == 0;
}

/* The middle of a name that two times eight bytes do not cover. */
static NOINLINE bool
is_named(const struct command *cmd, struct slice name)
{
	return slice_caseeq(slice_of(cmd->name + strlen(cmd->name) - name.len, name.len), name);
}

static inline const struct command *
lookup(struct slice name, uint32_t parent)
{
	struct name_key k;

	if (unlikely(name.len > NAME_MAX_LEN))
		return NULL;
	k = key_of(name, parent);
	for (uint32_t i = key_slot(&k); slots[i] != 0; i = (i + 1) % SLOTS)
		if (likely(key_fits(&keys[slots[i] - 1], &k)) && (likely(name.len <= NAME_WHOLE) ||
		    is_named(&command_table[slots[i] - 1], name)))
			return &command_table[slots[i] - 1];
	return NULL;
}

/* All but the case bits of letters; names in the table are in lower case. */
static uint64_t
strict_bits(uint64_t a)
{
	uint64_t capitals = a ^ CASE_BITS;

	return ~(fold(capitals) ^ capitals);
}

/* Before main(), so that no thread can see it half made. */
__attribute__((constructor)) static void
index_build(void)
{
	for (unsigned id = 0; id < CMD_COUNT; id++) {
		const struct command *cmd = &command_table[id];
		const char *bar = strchr(cmd->name, '|');
		struct slice name = slice_str(bar ? bar + 1 : cmd->name);
		uint32_t i;

		keys[id] = key_of(name, bar ? cmd->parent : NO_PARENT);
		keys[id].strict = strict_bits(keys[id].a);
		for (i = key_slot(&keys[id]); slots[i] != 0; i = (i + 1) % SLOTS)
			;
		slots[i] = (uint8_t)(id + 1);
	}
}

enum command_lookup
command_find(const struct slice *argv, uint32_t argc, const struct command **out)
{
	const struct command *cmd = lookup(argv[0], NO_PARENT), *sub;

	*out = cmd;
	if (unlikely(cmd == NULL))
		return COMMAND_UNKNOWN;
	if (cmd->container && argc > 1) {
		sub = lookup(argv[1], cmd->id);
		if (sub == NULL)
			return COMMAND_UNKNOWN_SUBCOMMAND;
		*out = cmd = sub;
	}
	return likely(command_arity_fits(cmd, argc)) ? COMMAND_FOUND : COMMAND_WRONG_ARITY;
}

/* "EVAL script numkeys key ...": with fewer than it says there are none, and it will
 * not run. */
static struct command_keys
counted_keys(const struct slice *argv, uint32_t argc)
{
	struct command_keys k = { .first = 3, .step = 1 };
	int64_t n;

	if (argc > 3 && parse_i64(argv[2], &n) == 0 && n > 0 && n <= (int64_t)argc - 3)
		k.n = (uint32_t)n;
	return k;
}

/* Whether the word at *i is this one, which is then behind. */
static bool
take_word(const struct slice *argv, uint32_t argc, uint32_t *i, struct slice word)
{
	if (*i >= argc || !slice_caseeq(argv[*i], word))
		return false;
	++*i;
	return true;
}

struct command_names
command_names(const struct slice *argv, uint32_t argc)
{
	struct command_names n = { .by = NAMED_KEYS, .first = 1 };

	n.soft = take_word(argv, argc, &n.first, SLICE("soft"));
	if (!n.soft)
		take_word(argv, argc, &n.first, SLICE("hard"));
	if (take_word(argv, argc, &n.first, SLICE("prefix")))
		n.by = NAMED_PREFIXES;
	else if (take_word(argv, argc, &n.first, SLICE("tag")))
		n.by = NAMED_TAGS;
	else
		take_word(argv, argc, &n.first, SLICE("key"));
	return n;
}

static struct command_keys
named_keys(const struct slice *argv, uint32_t argc)
{
	struct command_names n = command_names(argv, argc);

	return (struct command_keys){ .first = n.first, .step = 1,
		.n = n.by == NAMED_KEYS ? argc - n.first : 0 };
}

struct command_keys
command_keys(const struct command *cmd, const struct slice *argv, uint32_t argc)
{
	struct command_keys k = { .first = (uint32_t)cmd->first_key,
		.step = (uint32_t)cmd->key_step };
	uint32_t last = cmd->last_key < 0 ? argc - (uint32_t)-cmd->last_key
	                                  : (uint32_t)cmd->last_key;

	if (cmd->id == CMD_ID_pannier_invalidate)
		return named_keys(argv, argc);
	if (cmd->flags & CMD_MOVABLE_KEYS)
		return counted_keys(argv, argc);
	if (k.first != 0 && last < argc && last >= k.first)
		k.n = (last - k.first) / k.step + 1;
	return k;
}
