#include "config.h"

#include "base/sha1.h"
#include "unit/suite.h"

#include <stdio.h>
#include <stdlib.h>

static const char *
hex_of(struct slice data)
{
	static char hex[SHA1_HEX + 1];
	uint8_t digest[SHA1_BYTES];

	sha1(data, digest);
	sha1_hex(digest, hex);
	return hex;
}

/* Section 7.3 of the RFC. */
START_TEST(vectors_of_rfc_3174_come_out)
{
	static char many[1000000];

	ck_assert_str_eq(hex_of(SLICE("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
	ck_assert_str_eq(
	    hex_of(SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
	    "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
	memset(many, 'a', sizeof many);
	ck_assert_str_eq(hex_of(slice_of(many, sizeof many)),
	    "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
	for (size_t i = 0; i < 640; i++)
		many[i] = "01234567"[i % 8];
	ck_assert_str_eq(hex_of(slice_of(many, 640)), "dea356a2cddd90c7a7ecedc5ebb563934f460452");
	ck_assert_str_eq(hex_of(SLICE("")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}
END_TEST

/* Around the ends of blocks, against what sha1sum says of the same bytes. */
START_TEST(every_length_up_to_three_blocks_agrees_with_sha1sum)
{
	char command[512], bytes[192], line[64];

	memset(bytes, 'x', sizeof bytes);
	for (size_t len = 0; len < sizeof bytes; len++) {
		FILE *p;

		snprintf(command, sizeof command, "printf '%%s' '%.*s' | sha1sum", (int)len, bytes);
		p = popen(command, "r");
		ck_assert_ptr_nonnull(p);
		ck_assert_ptr_nonnull(fgets(line, sizeof line, p));
		pclose(p);
		line[SHA1_HEX] = '\0';
		ck_assert_str_eq(hex_of(slice_of(bytes, len)), line);
	}
}
END_TEST

START_TEST(a_digest_is_read_in_any_case_and_nothing_else_is)
{
	uint8_t digest[SHA1_BYTES];
	char hex[SHA1_HEX + 1];

	ck_assert(sha1_unhex(SLICE("A9993e364706816aba3e25717850C26C9CD0D89D"), digest));
	sha1_hex(digest, hex);
	ck_assert_str_eq(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
	ck_assert(!sha1_unhex(SLICE(""), digest));
	ck_assert(!sha1_unhex(SLICE("a9993e364706816aba3e25717850c26c9cd0d89"), digest));
	ck_assert(!sha1_unhex(SLICE("a9993e364706816aba3e25717850c26c9cd0d89dd"), digest));
	ck_assert(!sha1_unhex(SLICE("g9993e364706816aba3e25717850c26c9cd0d89d"), digest));
	ck_assert(!sha1_unhex(SLICE("a9993e364706816aba3e25717850c26c9cd0d89@"), digest));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sha1");

	SUITE_ADD(s, "sha1", vectors_of_rfc_3174_come_out,
	    every_length_up_to_three_blocks_agrees_with_sha1sum,
	    a_digest_is_read_in_any_case_and_nothing_else_is);
	return suite_main(s);
}
