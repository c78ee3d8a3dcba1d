#include "config.h"

#include "server/scripts.h"

#include "base/lock.h"
#include "base/mem.h"

#define SCRIPTS_MAX 512

static const char *const texts[] = {
#define SCRIPT(run, who, text) text,
#include "server/scripts.def"
#undef SCRIPT
};

#define ROWS ARRAY_LEN(texts)

struct scripts {
	struct script_form forms[ROWS];
	struct lock lock; /* what follows; nothing is locked under it */
	unsigned n;
	unsigned next;    /* where one more goes */
	struct script all[SCRIPTS_MAX];
};

struct scripts *
scripts_new(void)
{
	struct scripts *s = mem_zalloc(sizeof *s);

	if (s == NULL)
		return NULL;
	lock_init(&s->lock);
	for (unsigned i = 0; i < ROWS; i++)
		if (!script_form(slice_str(texts[i]), &s->forms[i]))
			s->forms[i].len = 0; /* a test looks at each row */
	return s;
}

void
scripts_free(struct scripts *s)
{
	if (s == NULL)
		return;
	lock_fini(&s->lock);
	mem_free(s);
}

static struct script *
find_locked(struct scripts *s, const uint8_t sha[SHA1_BYTES])
{
	assert(lock_held(&s->lock));
	for (unsigned i = 0; i < s->n; i++)
		if (memcmp(s->all[i].sha, sha, SHA1_BYTES) == 0)
			return &s->all[i];
	return NULL;
}

static bool
find(struct scripts *s, const uint8_t sha[SHA1_BYTES], struct script *out)
{
	const struct script *found;

	lock_acquire(&s->lock);
	found = find_locked(s, sha);
	if (found != NULL)
		*out = *found;
	lock_release(&s->lock);
	return found != NULL;
}

bool
scripts_find(struct scripts *s, struct slice hex, struct script *out)
{
	uint8_t sha[SHA1_BYTES];

	return sha1_unhex(hex, sha) && find(s, sha, out);
}

/* Somebody else may have been here first. */
static void
add(struct scripts *s, const struct script *script)
{
	lock_acquire(&s->lock);
	if (find_locked(s, script->sha) == NULL) {
		s->all[s->next] = *script;
		s->n = MAX(s->n, s->next + 1);
		s->next = (s->next + 1) % SCRIPTS_MAX;
	}
	lock_release(&s->lock);
}

static bool
row_of(const struct scripts *s, const struct script_form *form, unsigned *row)
{
	struct slice text = slice_of(form->text, form->len);

	for (*row = 0; *row < ROWS; ++*row)
		if (slice_eq(text, slice_of(s->forms[*row].text, s->forms[*row].len)))
			return true;
	return false;
}

bool
scripts_load(struct scripts *s, struct slice text, struct script *out)
{
	struct script_form form;

	sha1(text, out->sha);
	if (find(s, out->sha, out))
		return true;
	if (!script_form(text, &form) || !row_of(s, &form, &out->row))
		return false;
	memcpy(out->lines, form.lines, sizeof out->lines);
	add(s, out);
	return true;
}

void
scripts_flush(struct scripts *s)
{
	lock_acquire(&s->lock);
	s->n = s->next = 0;
	lock_release(&s->lock);
}

unsigned
scripts_count(struct scripts *s)
{
	unsigned n;

	lock_acquire(&s->lock);
	n = s->n;
	lock_release(&s->lock);
	return n;
}
