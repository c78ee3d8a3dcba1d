#include "config.h"

#include "base/htab.h"

#include <errno.h>

#include "base/mem.h"
#include "unit/suite.h"

#define NODES 1000

static struct htab_node nodes[NODES];

START_TEST(nodes_are_found_by_their_hash_and_gone_when_deleted)
{
	struct htab t = { 0 };

	for (unsigned i = 0; i < NODES; i++)
		ck_assert_int_eq(htab_add(&t, &nodes[i], i), 0);
	for (unsigned i = 0; i < NODES; i += 2)
		htab_del(&t, &nodes[i]);
	for (unsigned i = 0; i < NODES; i++)
		ck_assert_ptr_eq(htab_first(&t, i), i % 2 ? &nodes[i] : NULL);
	ck_assert_uint_eq(t.n, NODES / 2);
	htab_fini(&t);
	ck_assert_ptr_null(htab_first(&t, 1));
}
END_TEST

START_TEST(nodes_of_one_hash_come_one_after_the_other)
{
	struct htab t = { 0 };
	unsigned n = 0;

	for (unsigned i = 0; i < 30; i++)
		ck_assert_int_eq(htab_add(&t, &nodes[i], i % 3), 0);
	for (struct htab_node *it = htab_first(&t, 1); it != NULL; it = htab_next(it), n++)
		ck_assert_uint_eq(it->hash, 1);
	ck_assert_uint_eq(n, 10);
	htab_fini(&t);
}
END_TEST

START_TEST(a_table_that_cannot_grow_still_takes_nodes)
{
	struct htab t = { 0 };

	mem_fail_nth(1, 1);
	ck_assert_int_eq(htab_add(&t, &nodes[0], 0), -ENOMEM);
	mem_fail_nth(2, 1);
	for (unsigned i = 0; i < NODES; i++)
		ck_assert_int_eq(htab_add(&t, &nodes[i], i), 0);
	mem_fail_nth(0, 0);
	for (unsigned i = 0; i < NODES; i++)
		ck_assert_ptr_eq(htab_first(&t, i), &nodes[i]);
	htab_fini(&t);
}
END_TEST

START_TEST(going_round_meets_every_node)
{
	struct htab t = { 0 };
	struct htab_node *it;
	size_t hand = 12345;
	unsigned n = 0;

	ck_assert_ptr_null(htab_any(&t, &hand));
	for (unsigned i = 0; i < 100; i++)
		ck_assert_int_eq(htab_add(&t, &nodes[i], 7 * i), 0);
	for (; (it = htab_any(&t, &hand)) != NULL; n++)
		htab_del(&t, it);
	ck_assert_uint_eq(n, 100);
	htab_fini(&t);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("htab");

	SUITE_ADD(s, "htab", nodes_are_found_by_their_hash_and_gone_when_deleted,
	    nodes_of_one_hash_come_one_after_the_other,
	    a_table_that_cannot_grow_still_takes_nodes, going_round_meets_every_node);
	return suite_main(s);
}
