#include "config.h"

#include "unit/suite.h"

#include <string.h>

#include "base/list.h"

struct item {
	char name;
	struct list link;
};

static struct item a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };

static void
setup(void)
{
	list_init(&a.link);
	list_init(&b.link);
	list_init(&c.link);
}

/* The names in order, and back again, so that both links are looked at. */
static const char *
names(const struct list *l)
{
	static char text[16];
	size_t n = 0;

	list_foreach(it, (struct list *)l)
		text[n++] = list_entry(it, struct item, link)->name;
	for (const struct list *it = l->prev; it != l; it = it->prev)
		text[n++] = list_entry(it, const struct item, link)->name;
	text[n] = '\0';
	return text;
}

START_TEST(nodes_stay_in_the_order_they_were_pushed)
{
	struct list l;

	list_init(&l);
	ck_assert(list_empty(&l));
	list_push_tail(&l, &b.link);
	list_push_tail(&l, &c.link);
	list_push_head(&l, &a.link);
	ck_assert(!list_empty(&l));
	ck_assert_str_eq(names(&l), "abccba");
}
END_TEST

START_TEST(a_node_can_be_deleted_twice)
{
	struct list l;

	list_init(&l);
	list_push_tail(&l, &a.link);
	list_push_tail(&l, &b.link);
	list_del(&a.link);
	list_del(&a.link);
	ck_assert_str_eq(names(&l), "bb");
}
END_TEST

START_TEST(pop_takes_from_the_head_until_none_is_left)
{
	struct list l;

	list_init(&l);
	list_push_tail(&l, &a.link);
	list_push_tail(&l, &b.link);
	ck_assert_ptr_eq(list_pop_head(&l), &a.link);
	ck_assert_ptr_eq(list_pop_head(&l), &b.link);
	ck_assert_ptr_null(list_pop_head(&l));
}
END_TEST

START_TEST(splice_moves_all_and_leaves_the_source_empty)
{
	struct list to, from;

	list_init(&to);
	list_init(&from);
	list_splice_tail(&to, &from);
	ck_assert(list_empty(&to));
	list_push_tail(&from, &a.link);
	list_push_tail(&from, &b.link);
	list_splice_tail(&to, &from);
	ck_assert(list_empty(&from));
	ck_assert_str_eq(names(&to), "abba");
	list_push_tail(&from, &c.link);
	list_splice_tail(&to, &from);
	ck_assert_str_eq(names(&to), "abccba");
}
END_TEST

START_TEST(the_safe_walk_survives_deleting_each_node)
{
	struct list l;
	int n = 0;

	list_init(&l);
	list_push_tail(&l, &a.link);
	list_push_tail(&l, &b.link);
	list_push_tail(&l, &c.link);
	list_foreach_safe(it, &l) {
		list_del(it);
		memset(it, 0xff, sizeof *it);
		n++;
	}
	ck_assert_int_eq(n, 3);
	ck_assert(list_empty(&l));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("list");
	TCase *tc = tcase_create("list");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, nodes_stay_in_the_order_they_were_pushed);
	tcase_add_test(tc, a_node_can_be_deleted_twice);
	tcase_add_test(tc, pop_takes_from_the_head_until_none_is_left);
	tcase_add_test(tc, splice_moves_all_and_leaves_the_source_empty);
	tcase_add_test(tc, the_safe_walk_survives_deleting_each_node);
	suite_add_tcase(s, tc);
	return suite_main(s);
}
