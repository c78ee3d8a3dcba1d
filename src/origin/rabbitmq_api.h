/* rabbitmq_api.h - librabbitmq, loaded when a stream needs it (see curl_api.h). To use a
 * further function, add a row to the table. */
#ifndef PANNIER_ORIGIN_RABBITMQ_API_H
#define PANNIER_ORIGIN_RABBITMQ_API_H

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>

#include "base/util.h"

#define RABBITMQ_LIBRARY "librabbitmq.so.4"

#define RABBITMQ_API(FN) \
	FN(new_connection) \
	FN(destroy_connection) \
	FN(connection_close) \
	FN(tcp_socket_new) \
	FN(ssl_socket_new) \
	FN(ssl_socket_set_cacert) \
	FN(ssl_socket_set_key) \
	FN(ssl_socket_set_verify_peer) \
	FN(ssl_socket_set_verify_hostname) \
	FN(socket_open_noblock) \
	FN(set_handshake_timeout) \
	FN(set_rpc_timeout) \
	FN(login_with_properties) \
	FN(get_rpc_reply) \
	FN(get_sockfd) \
	FN(channel_open) \
	FN(queue_declare) \
	FN(queue_bind) \
	FN(basic_qos) \
	FN(basic_consume) \
	FN(basic_ack) \
	FN(basic_reject) \
	FN(consume_message) \
	FN(destroy_envelope) \
	FN(maybe_release_buffers) \
	FN(error_string2)

struct rabbitmq_api {
#define RABBITMQ_API_MEMBER(name) __typeof__(amqp_##name) *name;
	RABBITMQ_API(RABBITMQ_API_MEMBER)
#undef RABBITMQ_API_MEMBER
};

#endif
