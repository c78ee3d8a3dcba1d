/* scripted.h - an HTTP origin whose every byte the test writes: a thread that
 * accepts and one for each connection, which runs the script. Blocking, and
 * knows nothing of HTTP but where a head ends, and of Redis what a command is. */
#ifndef PANNIER_TESTS_ORIGIN_SCRIPTED_H
#define PANNIER_TESTS_ORIGIN_SCRIPTED_H

#include <stdbool.h>
#include <stddef.h>

struct scripted;

struct scripted_conn {
	struct scripted *server;
	void *arg;          /* of scripted_start() */
	int fd;
	unsigned nth;       /* 0: the first connection */
	char request[65536]; /* the last head read, NUL-terminated */
};

typedef void script(struct scripted_conn *c);

/* On 127.0.0.1, any port; with a path, on that Unix socket. The script may
 * return at any time: the connection is then closed. */
struct scripted *scripted_start(const char *unix_path, script *run, void *arg);
/* Shuts all connections and waits for the scripts to return. */
void scripted_stop(struct scripted *s);
const char *scripted_url(const struct scripted *s);
unsigned scripted_connections(const struct scripted *s);
unsigned scripted_requests(const struct scripted *s);
/* Most connections that were open at once. */
unsigned scripted_peak(const struct scripted *s);

/* --- for scripts ------------------------------------------------------------ */

/* Reads a request's head; false where the connection or the test ends. */
bool conn_request(struct scripted_conn *c);
/* Exactly n bytes; false likewise. */
bool conn_read(struct scripted_conn *c, char *to, size_t n);
/* Reads a command as Redis's clients send it; request is then its arguments with
 * blanks between. */
bool conn_command(struct scripted_conn *c);
/* False: the peer is gone. */
bool conn_send(struct scripted_conn *c, const char *text);
bool conn_send_bytes(struct scripted_conn *c, const void *bytes, size_t n);
/* Until the peer closes or the test ends. */
void conn_hang(struct scripted_conn *c);
/* Lets ms go by; false: the test ends. */
bool conn_pause(struct scripted_conn *c, int ms);

/* Answers every request with the string that arg is, and keeps the connection. */
script script_answer;
/* Answers the first request with it, then closes. */
script script_answer_and_close;
/* Reads and never answers. */
script script_silent;

#endif
