/* The commands of snapshots where there is no path; with one they need a server that runs,
 * see tests/integration/test_snapshot.py. */
#include "config.h"

#include "unit/server/handlers.h"

#include "server/snapshots.h"

START_TEST(without_a_path_nothing_is_written)
{
	ck_reply("SAVE", "-ERR no snapshot_path is configured\r\n");
	ck_reply("BGSAVE", "-ERR no snapshot_path is configured\r\n");
	ck_reply("BGSAVE SCHEDULE", "-ERR no snapshot_path is configured\r\n");
	ck_reply("BGSAVE NOW", "-ERR syntax error\r\n");
	ck_assert(!snapshots_save_at_stop(server->snapshots, NULL));
	ck_assert(!snapshots_holds_ready(server->snapshots));
}
END_TEST

START_TEST(it_is_told_that_there_is_none)
{
	char expected[64];

	snprintf(expected, sizeof expected, ":%lld\r\n",
	    (long long)server->started_unix_ms / 1000);
	ck_reply("LASTSAVE", expected);
	ck_reply_has("PANNIER.SNAPSHOT", "*38\r\n$4\r\npath\r\n$-1\r\n$5\r\nstate\r\n$4\r\nidle\r\n");
	ck_reply_has("PANNIER.SNAPSHOT", "$9\r\nlast_save\r\n$-1\r\n");
	ck_reply_has("PANNIER.SNAPSHOT", "$12\r\nload_seconds\r\n$-1\r\n");
	ck_reply_has("INFO persistence", "rdb_last_bgsave_status:ok\r\n");
	ck_reply_has("INFO persistence", "rdb_changes_since_last_save:0\r\n");
	ck_reply("SET k v", "+OK\r\n");
	ck_reply_has("INFO persistence", "rdb_changes_since_last_save:1\r\n");
}
END_TEST

START_TEST(shutdown_takes_what_redis_takes)
{
	ck_reply("SHUTDOWN SAVE", "-ERR no snapshot_path is configured\r\n");
	ck_reply("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
	ck_reply("SHUTDOWN ABORT NOW", "-ERR syntax error\r\n");
	ck_reply("SHUTDOWN SAVE NOSAVE", "-ERR syntax error\r\n");
	ck_reply("SHUTDOWN LATER", "-ERR syntax error\r\n");
	ck_assert(!session->closing);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_snapshot");

	SUITE_ADD_FIXTURE(s, "no path", handlers_setup, handlers_teardown,
	    without_a_path_nothing_is_written, it_is_told_that_there_is_none,
	    shutdown_takes_what_redis_takes);
	return suite_main(s);
}
