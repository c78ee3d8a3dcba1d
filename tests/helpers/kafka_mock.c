/* A Kafka cluster of one broker, librdkafka's mock, for tests/integration.
 *
 *     kafka_mock TOPIC PARTITIONS
 *
 * Prints its address, and then reads commands, one a line, each answered by a line:
 *
 *     produce PARTITION TEXT   ok, when the broker has it; TEXT may be empty: no value
 *     down, up                 ok; connections end, and none is taken
 *
 * Ends with its input. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rd_kafka_mock_cluster_t *cluster;
static rd_kafka_t *producer;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "kafka_mock: %s: %s\n", what, why);
	exit(1);
}

static rd_kafka_t *
handle_new(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[256];
	rd_kafka_t *rk;

	rd_kafka_conf_set(conf, "linger.ms", "0", NULL, 0);
	rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
	if (cluster != NULL)
		rd_kafka_conf_set(conf, "bootstrap.servers",
		    rd_kafka_mock_cluster_bootstraps(cluster), NULL, 0);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
	if (rk == NULL)
		fail("producer", why);
	return rk;
}

static void
produce(const char *topic, const char *args)
{
	char *text;
	long partition = strtol(args, &text, 10);
	size_t len;

	if (*text == ' ')
		text++;
	len = strlen(text);
	if (rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic),
	    RD_KAFKA_V_PARTITION((int)partition), RD_KAFKA_V_KEY("k", 1),
	    RD_KAFKA_V_VALUE(len != 0 ? text : NULL, len),
	    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END) != 0)
		fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
	if (rd_kafka_flush(producer, 60000) != 0)
		fail("produce", "no answer");
}

static void
obey(const char *topic, const char *line)
{
	if (strncmp(line, "produce ", 8) == 0)
		produce(topic, line + 8);
	else if (strcmp(line, "down") == 0)
		rd_kafka_mock_broker_set_down(cluster, 1);
	else if (strcmp(line, "up") == 0)
		rd_kafka_mock_broker_set_up(cluster, 1);
	else
		fail("no such command", line);
	printf("ok\n");
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	static char line[1 << 16];
	rd_kafka_t *owner;

	if (argc != 3)
		fail("usage", "kafka_mock TOPIC PARTITIONS");
	owner = handle_new();
	cluster = rd_kafka_mock_cluster_new(owner, 1);
	if (cluster == NULL)
		fail("cluster", "none");
	if (rd_kafka_mock_topic_create(cluster, argv[1], atoi(argv[2]), 1) != 0)
		fail("topic", argv[1]);
	producer = handle_new();
	printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		obey(argv[1], line);
	}
	rd_kafka_destroy(producer);
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(owner);
	return 0;
}
