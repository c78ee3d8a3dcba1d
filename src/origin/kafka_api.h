/* kafka_api.h - librdkafka, loaded when a stream needs it (see curl_api.h). To use a
 * further function, add a row to the table. */
#ifndef PANNIER_ORIGIN_KAFKA_API_H
#define PANNIER_ORIGIN_KAFKA_API_H

#include <librdkafka/rdkafka.h>

#include "base/util.h"

#define KAFKA_LIBRARY "librdkafka.so.1"

#define KAFKA_API(FN) \
	FN(conf_new) \
	FN(conf_destroy) \
	FN(conf_set) \
	FN(conf_set_opaque) \
	FN(conf_set_log_cb) \
	FN(conf_set_error_cb) \
	FN(conf_set_rebalance_cb) \
	FN(new) \
	FN(destroy) \
	FN(opaque) \
	FN(poll_set_consumer) \
	FN(subscribe) \
	FN(assign) \
	FN(committed) \
	FN(query_watermark_offsets) \
	FN(consumer_poll) \
	FN(consumer_close) \
	FN(message_destroy) \
	FN(offsets_store) \
	FN(topic_name) \
	FN(topic_partition_list_new) \
	FN(topic_partition_list_destroy) \
	FN(topic_partition_list_add) \
	FN(topic_partition_list_find) \
	FN(topic_partition_list_copy) \
	FN(queue_get_consumer) \
	FN(queue_yield) \
	FN(queue_destroy) \
	FN(err2str)

struct kafka_api {
#define KAFKA_API_MEMBER(name) __typeof__(rd_kafka_##name) *name;
	KAFKA_API(KAFKA_API_MEMBER)
#undef KAFKA_API_MEMBER
};

#endif
