#include "config.h"

#include "unit/server/handlers.h"

#define NO_NUMBER "-ERR value is not an integer or out of range\r\n"

START_TEST(units_come_back_with_time)
{
	ck_reply("CL.THROTTLE k 1 2 1", "*5\r\n:0\r\n:2\r\n:1\r\n:-1\r\n:1\r\n");
	ck_reply("CL.THROTTLE k 1 2 1", "*5\r\n:0\r\n:2\r\n:0\r\n:-1\r\n:1\r\n");
	ck_reply("CL.THROTTLE k 1 2 1", "*5\r\n:1\r\n:2\r\n:0\r\n:1\r\n:1\r\n");
	ck_reply("PTTL k", ":1000\r\n");
	now_ms += 499;
	ck_reply("CL.THROTTLE k 1 2 1", "*5\r\n:1\r\n:2\r\n:0\r\n:1\r\n:1\r\n");
	now_ms += 1;
	ck_reply("CL.THROTTLE k 1 2 1", "*5\r\n:0\r\n:2\r\n:0\r\n:-1\r\n:1\r\n");
	now_ms += 1000;
	ck_reply("EXISTS k", ":0\r\n");
	ck_reply("CL.THROTTLE k 1 2 1", "*5\r\n:0\r\n:2\r\n:1\r\n:-1\r\n:1\r\n");
}
END_TEST

START_TEST(quantities_are_taken_whole_or_not_at_all)
{
	ck_reply("CL.THROTTLE k 9 1 1 7", "*5\r\n:0\r\n:10\r\n:3\r\n:-1\r\n:7\r\n");
	ck_reply("CL.THROTTLE k 9 1 1 4", "*5\r\n:1\r\n:10\r\n:3\r\n:1\r\n:7\r\n");
	ck_reply("CL.THROTTLE k 9 1 1 11", "*5\r\n:1\r\n:10\r\n:3\r\n:-1\r\n:7\r\n");
	ck_reply("CL.THROTTLE k 9 1 1 9223372036854775807", "*5\r\n:1\r\n:10\r\n:3\r\n:-1\r\n:7\r\n");
	ck_reply("CL.THROTTLE k 9 1 1 3", "*5\r\n:0\r\n:10\r\n:0\r\n:-1\r\n:10\r\n");
}
END_TEST

START_TEST(a_quantity_of_zero_is_a_look)
{
	ck_reply("CL.THROTTLE k 4 1 1 0", "*5\r\n:0\r\n:5\r\n:5\r\n:-1\r\n:0\r\n");
	ck_reply("EXISTS k", ":0\r\n");
	ck_reply("CL.THROTTLE k 4 1 1 5", "*5\r\n:0\r\n:5\r\n:0\r\n:-1\r\n:5\r\n");
	ck_reply("CL.THROTTLE k 4 1 1 0", "*5\r\n:0\r\n:5\r\n:0\r\n:-1\r\n:5\r\n");
	ck_reply("CL.THROTTLE k 4 1 1 0", "*5\r\n:0\r\n:5\r\n:0\r\n:-1\r\n:5\r\n");
}
END_TEST

START_TEST(wrong_arguments_are_told)
{
	ck_reply("CL.THROTTLE k 1 1", "-ERR wrong number of arguments for 'cl.throttle' command\r\n");
	ck_reply("CL.THROTTLE k 1 1 1 1 1",
	    "-ERR wrong number of arguments for 'cl.throttle' command\r\n");
	ck_reply("CL.THROTTLE k x 1 1", NO_NUMBER);
	ck_reply("CL.THROTTLE k 1 '' 1", NO_NUMBER);
	ck_reply("CL.THROTTLE k 1 1 1.5", NO_NUMBER);
	ck_reply("CL.THROTTLE k 1 1 1 9223372036854775808", NO_NUMBER);
	ck_reply("CL.THROTTLE k -1 1 1", "-ERR max_burst must not be negative\r\n");
	ck_reply("CL.THROTTLE k 1 0 1", "-ERR count and period must be at least 1\r\n");
	ck_reply("CL.THROTTLE k 1 1 0", "-ERR count and period must be at least 1\r\n");
	ck_reply("CL.THROTTLE k 1 1 -5", "-ERR count and period must be at least 1\r\n");
	ck_reply("CL.THROTTLE k 1 1 1 -1", "-ERR quantity must not be negative\r\n");
	ck_reply_has("CL.THROTTLE k 9223372036854775807 1 1", "-ERR max_burst, count and period are out");
	ck_reply_has("CL.THROTTLE k 1 2000000000 1", "-ERR max_burst, count and period are out");
	ck_reply_has("CL.THROTTLE k 1 1 9223372036854775807", "-ERR max_burst, count and period are out");
	ck_reply("EXISTS k", ":0\r\n");
}
END_TEST

START_TEST(a_key_that_holds_something_else_is_left_alone)
{
	ck_reply("SET k text", "+OK\r\n");
	ck_reply("CL.THROTTLE k 1 1 1", NO_NUMBER);
	ck_reply("GET k", "$4\r\ntext\r\n");
	ck_reply("SET k 9223372036854775807", "+OK\r\n");
	ck_reply_has("CL.THROTTLE k 1 1 1", "*5\r\n:1\r\n:2\r\n:0\r\n:");
	ck_reply("SET k -5", "+OK\r\n");
	ck_reply("CL.THROTTLE k 1 1 1", "*5\r\n:0\r\n:2\r\n:1\r\n:-1\r\n:1\r\n");
}
END_TEST

START_TEST(without_memory_nothing_is_taken)
{
	ask_without_memory("DEL k", "CL.THROTTLE k 1 1 1", "*5\r\n:0\r\n:2\r\n:1\r\n:-1\r\n:1\r\n",
	    "EXISTS k", ":0\r\n");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("throttle");

	SUITE_ADD_FIXTURE(s, "throttle", handlers_setup, handlers_teardown,
	    units_come_back_with_time, quantities_are_taken_whole_or_not_at_all,
	    a_quantity_of_zero_is_a_look, wrong_arguments_are_told,
	    a_key_that_holds_something_else_is_left_alone, without_memory_nothing_is_taken);
	return suite_main(s);
}
