/* pannier-libev.h - a connection in a loop of libev. Header only; link with -lev.
 *
 *     struct pannier_ev adapter;
 *     pannier_ev_start(&adapter, loop, conn);
 *     pannier_send(conn, &request, callback, arg, NULL);
 *     pannier_ev_update(&adapter);       after sending outside of callbacks
 *     ev_run(loop, 0);
 *
 * All of it on the loop's thread. Stop it before the connection is freed. */
#ifndef PANNIER_LIBEV_H
#define PANNIER_LIBEV_H

#include <ev.h>
#include <pannier.h>

struct pannier_ev {
	struct ev_loop *loop;
	struct pannier_conn *conn;
	ev_io io;
	ev_timer timer;
	unsigned generation;
};

static inline void
pannier_ev_update(struct pannier_ev *a)
{
	int events = pannier_conn_events(a->conn), ms = pannier_conn_wait_ms(a->conn);
	int wanted = ((events & PANNIER_READ) != 0 ? EV_READ : 0) |
	    ((events & PANNIER_WRITE) != 0 ? EV_WRITE : 0);

	if (a->generation != pannier_conn_generation(a->conn) || wanted != (a->io.events & (EV_READ | EV_WRITE)) ||
	    a->io.fd != pannier_conn_fd(a->conn)) {
		ev_io_stop(a->loop, &a->io);
		a->generation = pannier_conn_generation(a->conn);
		if (wanted != 0) {
			ev_io_set(&a->io, pannier_conn_fd(a->conn), wanted);
			ev_io_start(a->loop, &a->io);
		}
	} else if (wanted != 0) {
		ev_io_start(a->loop, &a->io);
	}
	ev_timer_stop(a->loop, &a->timer);
	if (ms >= 0) {
		ev_timer_set(&a->timer, ms / 1000.0, 0.);
		ev_timer_start(a->loop, &a->timer);
	}
}

static inline void
pannier_ev_ready(struct ev_loop *loop, ev_io *io, int revents)
{
	struct pannier_ev *a = (struct pannier_ev *)io->data;

	(void)loop;
	pannier_conn_step(a->conn, ((revents & EV_READ) != 0 ? PANNIER_READ : 0) |
	    ((revents & EV_WRITE) != 0 ? PANNIER_WRITE : 0));
	pannier_ev_update(a);
}

static inline void
pannier_ev_late(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct pannier_ev *a = (struct pannier_ev *)timer->data;

	(void)loop;
	(void)revents;
	pannier_conn_step(a->conn, 0);
	pannier_ev_update(a);
}

static inline void
pannier_ev_start(struct pannier_ev *a, struct ev_loop *loop, struct pannier_conn *conn)
{
	a->loop = loop;
	a->conn = conn;
	a->generation = pannier_conn_generation(conn);
	ev_init(&a->io, pannier_ev_ready);
	ev_io_set(&a->io, -1, 0);
	ev_init(&a->timer, pannier_ev_late);
	a->io.data = a->timer.data = a;
	pannier_ev_update(a);
}

static inline void
pannier_ev_stop(struct pannier_ev *a)
{
	ev_io_stop(a->loop, &a->io);
	ev_timer_stop(a->loop, &a->timer);
}

#endif
