package pannier

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

const writeTimeout = 5 * time.Second

type answer struct {
	reply reply
	err   error
}

type waiter struct {
	op     op
	nItems int
	done   chan answer // buffered: whoever gave up leaves it to the collector
}

// conn is a socket that all goroutines share. Replies find their request by its id. Its own goroutine reads.
type conn struct {
	nc      net.Conn
	r       *bufio.Reader
	about   map[string]string
	mu      sync.Mutex
	waiting map[uint32]waiter
	lastID  uint32
	err     error         // why it ended
	ended   chan struct{} // closed then
	write   sync.Mutex
}

func dial(ctx context.Context, network, address string) (*conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, unavailable("no connection: %w", err)
	}
	c := &conn{nc: nc, r: bufio.NewReaderSize(nc, 64<<10), waiting: map[uint32]waiter{},
		ended: make(chan struct{})}
	if deadline, ok := ctx.Deadline(); ok {
		_ = nc.SetDeadline(deadline)
	}
	if err := c.greet(); err != nil {
		_ = nc.Close()
		return nil, err
	}
	_ = nc.SetDeadline(time.Time{})
	go c.readAll()
	return c, nil
}

func (c *conn) greet() error {
	if _, err := c.nc.Write(hello()); err != nil {
		return unavailable("no connection: %w", err)
	}
	first, err := c.r.Peek(1)
	if err != nil {
		return unavailable("no answer to the preface: %w", err)
	}
	if first[0] != magic {
		line, _ := io.ReadAll(io.LimitReader(&lineReader{r: c.r}, plainLine))
		return broken("this is no pannier, or it refused: %q", strings.TrimSpace(string(line)))
	}
	_, _ = c.r.Discard(1)
	body, err := readFrame(c.r)
	if err != nil {
		return ending(err)
	}
	return c.takePreface(body)
}

// lineReader ends behind a line feed.
type lineReader struct {
	r    *bufio.Reader
	over bool
}

func (l *lineReader) Read(p []byte) (int, error) {
	if l.over || len(p) == 0 {
		return 0, io.EOF
	}
	b, err := l.r.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0], l.over = b, b == '\n'
	return 1, nil
}

func (c *conn) takePreface(body []byte) error {
	about, err := serverOf(body)
	c.about = about
	return err
}

func serverOf(body []byte) (map[string]string, error) {
	fields, err := unpack(body)
	if err != nil {
		return nil, err
	}
	name, nameErr := bytesAt(fields, 0)
	version, versionErr := intAt(fields, 1)
	if nameErr != nil || versionErr != nil || string(name) != "pannier" || len(fields) < 3 {
		return nil, broken("the answer to the preface is none")
	}
	offer, ok := fields[2].(map[string]any)
	if !ok {
		return nil, broken("the answer to the preface is none")
	}
	about := make(map[string]string, len(offer))
	for key, value := range offer {
		about[key] = textOf(value)
	}
	switch version {
	case protocolVersion:
		return about, nil
	case 0:
		return nil, broken("the server refused: %s", about["error"])
	default:
		return nil, broken("the server chose version %d, which was not offered", version)
	}
}

// ending gives an error of reading the name that callers look for.
func ending(err error) error {
	switch {
	case errors.Is(err, ErrUnavailable):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return unavailable("the connection was closed")
	default:
		return unavailable("the connection was lost: %w", err)
	}
}

func (c *conn) readAll() {
	for {
		body, err := readFrame(c.r)
		if err == nil {
			err = c.deliver(body)
		}
		if err != nil {
			c.end(ending(err))
			return
		}
	}
}

func (c *conn) deliver(body []byte) error {
	fields, err := unpack(body)
	if err != nil {
		return err
	}
	if fields[0] == nil {
		text, _ := bytesAt(fields, 3)
		return broken("the server says: %s", text)
	}
	id, err := intAt(fields, 0)
	if err != nil {
		return broken("a reply without an id")
	}
	w, ok := c.take(uint32(id))
	if !ok || id < 0 || id > 1<<32-1 {
		return broken("a reply to request %d, which nobody made", id)
	}
	r, err := decodeReply(w.op, fields[1:], w.nItems)
	w.done <- answer{r, err}
	return nil
}

func (c *conn) take(id uint32) (waiter, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.waiting[id]
	delete(c.waiting, id)
	return w, ok
}

// end: all that wait have no answer. The first reason counts.
func (c *conn) end(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = reason
	close(c.ended)
	_ = c.nc.Close()
	for id, w := range c.waiting {
		delete(c.waiting, id)
		w.done <- answer{err: reason}
	}
}

func (c *conn) isOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil
}

// register makes a request one that is waited for. Ids are short while few wait.
func (c *conn) register(w waiter) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	most := uint32(127)
	if len(c.waiting) >= 100 {
		most = 1<<32 - 1
	}
	id := c.lastID
	for taken := true; taken; _, taken = c.waiting[id] {
		if id < most {
			id++
		} else {
			id = 0
		}
	}
	c.lastID = id
	c.waiting[id] = w
	return id, nil
}

func (c *conn) send(data []byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := c.nc.Write(data); err != nil {
		c.end(unavailable("the connection was lost: %w", err))
		return c.err
	}
	return nil
}

func (c *conn) call(ctx context.Context, o op, args []any, opts options, nItems int) (reply, error) {
	w := waiter{o, nItems, make(chan answer, 1)}
	id, err := c.register(w)
	if err != nil {
		return reply{}, err
	}
	data, err := encodeRequest(o, id, args, opts)
	if err != nil {
		c.take(id)
		return reply{}, err
	}
	if err := c.send(data); err != nil {
		return reply{}, err
	}
	select {
	case a := <-w.done:
		return a.reply, a.err
	case <-ctx.Done():
		c.cancel(id)
		return reply{}, unavailable("%s: %w", opNames[o], ctx.Err())
	}
}

// cancel: the reply of the request still comes, and goes to a channel that nobody reads.
func (c *conn) cancel(target uint32) {
	id, err := c.register(waiter{opCancel, 0, make(chan answer, 1)})
	if err != nil {
		return
	}
	if data, err := encodeRequest(opCancel, id, []any{target}, nil); err == nil {
		_ = c.send(data)
	}
}
