// Package pannier is the client of pannier, the caching sidecar, over its binary protocol.
//
//	cache, err := pannier.New(pannier.Options{})
//	user, err := pannier.GetOrLoad(ctx, cache, "user:42", 5*time.Minute, func(ctx context.Context) (User, error) { ... })
//
// GetOrLoad loads once for all processes that share a sidecar, and loads directly where it is away.
package pannier

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	defaultPath           = "/run/pannier/pannier.sock"
	defaultTimeout        = time.Second
	defaultConnectTimeout = 250 * time.Millisecond
	defaultWait           = 5 * time.Second // the daemon's lease_time (3 s) ends it before
	backoffFirst          = 50 * time.Millisecond
	backoffMost           = 2 * time.Second
	deadlineMost          = time.Hour
	ttlMost               = 1 << 47 // ms
)

// Metrics is called after each request: operation, status (a Status in text, "error:CODE", "unavailable"), time; and for
// each load of GetOrLoad: "load" with "ok", "error", "direct" (without the sidecar) or "stale" (the loader failed, a
// stale value served). Called by many goroutines; it must not block.
type Metrics func(op, status string, took time.Duration)

// Options of a Client. The zero value is fine.
type Options struct {
	Address        string        // a path, unix:PATH or tcp:HOST:PORT; else $PANNIER_SOCKET, else /run/pannier/pannier.sock
	Timeout        time.Duration // of a call whose context has no deadline; 1 s
	ConnectTimeout time.Duration // 250 ms
	Password       string        // "": none
	Metrics        Metrics
}

// Client is a sidecar. All goroutines may share one; its calls share a connection, and an answer that takes long holds up
// no other. Every call but GetOrLoad fails with ErrUnavailable where the sidecar is away, and with a *ReplyError where it
// answers with an error.
type Client struct {
	network, address string
	opts             Options
	mu               sync.Mutex // held while connecting, so that one of many does it
	conn             *conn
	backoff          time.Duration
	notBefore        time.Time
}

// Entry is a value and what is known of it.
type Entry struct {
	Value  []byte
	Status Status
	Left   *time.Duration // nil: no end, or not known; below 0: stale for so long
	Age    *time.Duration // nil: not known
	Token  []byte         // stands for this very value: Set with IfToken
}

// Lease is the right to load a key: Set with WithLease, or Release.
type Lease struct {
	Key   string
	Token []byte
	Stale []byte // an old value to fall back on, or nil
}

func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// New makes a client. It connects when the first call needs it.
func New(opts Options) (*Client, error) {
	given := opts.Address
	if given == "" {
		given = os.Getenv("PANNIER_SOCKET")
	}
	if given == "" {
		given = defaultPath
	}
	network, address, err := parseAddress(given)
	if err != nil {
		return nil, err
	}
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.ConnectTimeout <= 0 {
		opts.ConnectTimeout = defaultConnectTimeout
	}
	return &Client{network: network, address: address, opts: opts, backoff: backoffFirst}, nil
}

func parseAddress(given string) (network, address string, err error) {
	switch {
	case strings.HasPrefix(given, "unix:") && len(given) > 5:
		return "unix", given[5:], nil
	case strings.HasPrefix(given, "tcp:") && strings.Contains(given[4:], ":"):
		return "tcp", given[4:], nil
	case strings.HasPrefix(given, "/"), strings.HasPrefix(given, "."):
		return "unix", given, nil
	}
	return "", "", fmt.Errorf("pannier: address %q: a path, unix:PATH or tcp:HOST:PORT is meant", given)
}

// Close ends the connection; requests without a reply fail. The client may be used again.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.end(unavailable("the client was closed"))
		c.conn = nil
	}
	return nil
}

// --- calls -----------------------------------------------------------------------------

// reach answers the connection, and whether it was there before.
func (c *Client) reach(ctx context.Context) (*conn, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && c.conn.isOpen() {
		return c.conn, true, nil
	}
	if time.Now().Before(c.notBefore) {
		return nil, false, unavailable("the sidecar could not be reached a moment ago")
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	made, err := c.open(ctx)
	if err != nil {
		if errors.Is(err, ErrUnavailable) {
			// An application must not wait for a sidecar that is not there.
			c.notBefore = time.Now().Add(c.backoff/2 + time.Duration(rand.Int63n(int64(c.backoff/2))))
			c.backoff = min(2*c.backoff, backoffMost)
		}
		return nil, false, err
	}
	c.conn, c.backoff = made, backoffFirst
	return made, false, nil
}

func (c *Client) open(ctx context.Context) (*conn, error) {
	made, err := dial(ctx, c.network, c.address)
	if err != nil || c.opts.Password == "" {
		return made, err
	}
	if _, err := made.call(ctx, opAuth, []any{[]byte(c.opts.Password)}, nil, 0); err != nil {
		made.end(unavailable("the password was refused"))
		return nil, err
	}
	return made, nil
}

// What may be sent again where the connection ended without a reply (PROTOCOL.md).
func mayRepeat(o op, opts options) bool {
	switch o {
	case opIncr, opCancel, opAuth:
		return false
	case opSet, opSetMany, opDelete:
		for _, condition := range []int{optionIfAbsent, optionIfPresent, optionIfToken, optionIfValue, optionLease} {
			if _, ok := opts[condition]; ok {
				return false
			}
		}
	}
	return true
}

func (c *Client) once(ctx context.Context, o op, args []any, opts options, nItems int) (reply, error) {
	used, old, err := c.reach(ctx)
	if err != nil {
		return reply{}, err
	}
	r, err := used.call(ctx, o, args, opts, nItems)
	if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil || !old || !mayRepeat(o, opts) {
		return r, err
	}
	// The daemon was restarted since the last call.
	if used, _, err = c.reach(ctx); err != nil {
		return reply{}, err
	}
	return used.call(ctx, o, args, opts, nItems)
}

func statusOf(r reply, err error) string {
	var replied *ReplyError
	switch {
	case err == nil:
		return r.status.String()
	case errors.As(err, &replied):
		return "error:" + replied.Code
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	}
	return "unexpected"
}

func (c *Client) note(op, status string, begun time.Time) {
	if c.opts.Metrics != nil {
		c.opts.Metrics(op, status, time.Since(begun))
	}
}

func (c *Client) withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

func (c *Client) call(ctx context.Context, o op, args []any, opts options, nItems int) (reply, error) {
	ctx, cancel := c.withTimeout(ctx, c.opts.Timeout)
	defer cancel()
	begun := time.Now()
	r, err := c.once(ctx, o, args, opts, nItems)
	c.note(opNames[o], statusOf(r, err), begun)
	return r, err
}

// deadline is told to the server, a little less than what the client waits itself, so that its answer comes first.
// A GET has none: one that is late is cancelled, and costs less without.
func (c *Client) deadline(ctx context.Context) options {
	left := c.opts.Timeout
	if at, ok := ctx.Deadline(); ok {
		left = time.Until(at)
	}
	left = min(max(left*9/10, 0), deadlineMost)
	return options{optionDeadlineMs: left.Milliseconds()}
}

// millis of a time to live, rounded up; 0 is no end.
func millis(d time.Duration) (any, error) {
	if d == 0 {
		return nil, nil
	}
	ms := int64((d + time.Millisecond - 1) / time.Millisecond)
	if d < 0 || ms > ttlMost {
		return nil, fmt.Errorf("pannier: a time of %v: it must be above 0, or 0 for no end", d)
	}
	return ms, nil
}

// --- operations --------------------------------------------------------------------------

// Get returns the value, from the cache or through it from its origin, or ErrNotFound.
func (c *Client) Get(ctx context.Context, key string) ([]byte, error) {
	r, err := c.call(ctx, opGet, []any{[]byte(key)}, nil, 0)
	if err != nil {
		return nil, err
	}
	return found(r)
}

func found(r reply) ([]byte, error) {
	if r.value == nil {
		return nil, ErrNotFound
	}
	return r.value, nil
}

func duration(ms *int64) *time.Duration {
	if ms == nil {
		return nil
	}
	d := time.Duration(*ms) * time.Millisecond
	return &d
}

func entryOf(r reply) *Entry {
	return &Entry{Value: r.value, Status: r.status, Left: duration(r.leftMS), Age: duration(r.ageMS), Token: r.token}
}

// GetEntry is Get, with how the value came about and how long it stays good.
func (c *Client) GetEntry(ctx context.Context, key string) (*Entry, error) {
	r, err := c.call(ctx, opGet, []any{[]byte(key)}, options{optionMeta: true}, 0)
	if err != nil {
		return nil, err
	}
	if r.value == nil {
		return nil, ErrNotFound
	}
	return entryOf(r), nil
}

// Peek returns the length of what is in the cache, and an Entry without its value. It counts as no use and fetches
// nothing.
func (c *Client) Peek(ctx context.Context, key string) (int64, *Entry, error) {
	r, err := c.call(ctx, opPeek, []any{[]byte(key)}, nil, 0)
	if err != nil {
		return 0, nil, err
	}
	if r.status != StatusHit {
		return 0, nil, ErrNotFound
	}
	return r.number, entryOf(r), nil
}

// SetOption is a condition, or a grace, of a Set. At most one condition.
type SetOption func(options) error

// WithGrace lets the value be served as stale for so long after its end.
func WithGrace(d time.Duration) SetOption {
	return func(opts options) error {
		ms, err := millis(d)
		if ms != nil {
			opts[optionGraceMs] = ms
		}
		return err
	}
}

func condition(number int, value any) SetOption {
	return func(opts options) error {
		opts[number] = value
		return nil
	}
}

// IfAbsent sets only where the key is not there.
func IfAbsent() SetOption { return condition(optionIfAbsent, true) }

// IfPresent sets only where the key is there.
func IfPresent() SetOption { return condition(optionIfPresent, true) }

// IfToken acts only where the value is the one that this token came with.
func IfToken(token []byte) SetOption { return condition(optionIfToken, token) }

// IfValue acts only where this is the value.
func IfValue(value []byte) SetOption { return condition(optionIfValue, append([]byte{}, value...)) }

// WithLease sets only where this lease is still held; the Set ends it. nil is no condition.
func WithLease(lease *Lease) SetOption {
	return func(opts options) error {
		if lease != nil {
			opts[optionLease] = lease.Token
		}
		return nil
	}
}

func apply(with []SetOption) (options, error) {
	opts := options{}
	for _, option := range with {
		if err := option(opts); err != nil {
			return nil, err
		}
	}
	return opts, nil
}

// Set stores a value for ttl (0: until it is evicted). false: the condition did not hold; nothing was changed.
func (c *Client) Set(ctx context.Context, key string, value []byte, ttl time.Duration, with ...SetOption) (bool, error) {
	opts, err := apply(with)
	if err != nil {
		return false, err
	}
	ms, err := millis(ttl)
	if err != nil {
		return false, err
	}
	r, err := c.call(ctx, opSet, []any{[]byte(key), append([]byte{}, value...), ms}, opts, 0)
	return err == nil && r.status == StatusStored, err
}

// Delete removes a key; IfToken and IfValue may be given. true: it was there (and the condition held).
func (c *Client) Delete(ctx context.Context, key string, with ...SetOption) (bool, error) {
	opts, err := apply(with)
	if err != nil {
		return false, err
	}
	r, err := c.call(ctx, opDelete, []any{[]byte(key)}, opts, 0)
	return err == nil && r.status == StatusDone, err
}

// Touch gives a key another time to live, counted from now; 0: no end. false: it is not there.
func (c *Client) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	ms, err := millis(ttl)
	if err != nil {
		return false, err
	}
	r, err := c.call(ctx, opTouch, []any{[]byte(key), ms}, nil, 0)
	return err == nil && r.status == StatusDone, err
}

// Incr adds delta, and returns the sum. A counter that is not there begins with initial, and gets ttl (0: no end).
func (c *Client) Incr(ctx context.Context, key string, delta, initial int64, ttl time.Duration) (int64, error) {
	opts := options{}
	ms, err := millis(ttl)
	if err != nil {
		return 0, err
	}
	if ms != nil {
		opts[optionTtlMs] = ms
	}
	if initial != 0 {
		opts[optionInitial] = initial
	}
	r, err := c.call(ctx, opIncr, []any{[]byte(key), delta}, opts, 0)
	return r.number, err
}

func bytesOf(keys []string) [][]byte {
	list := make([][]byte, len(keys))
	for i, key := range keys {
		list[i] = []byte(key)
	}
	return list
}

// GetMany returns those that are there or could be fetched; a key whose fetch failed is left out.
func (c *Client) GetMany(ctx context.Context, keys ...string) (map[string][]byte, error) {
	r, err := c.call(ctx, opGetMany, []any{bytesOf(keys)}, c.deadline(ctx), len(keys))
	if err != nil {
		return nil, err
	}
	got := make(map[string][]byte, len(keys))
	for i, one := range r.items {
		if one.err == nil && one.reply.value != nil {
			got[keys[i]] = one.reply.value
		}
	}
	return got, nil
}

// SetMany returns what could not be stored, and why; nil: all is.
func (c *Client) SetMany(ctx context.Context, values map[string][]byte, ttl time.Duration) (map[string]error, error) {
	ms, err := millis(ttl)
	if err != nil {
		return nil, err
	}
	keys, pairs := make([]string, 0, len(values)), make([][]byte, 0, 2*len(values))
	for key, value := range values {
		keys, pairs = append(keys, key), append(pairs, []byte(key), value)
	}
	r, err := c.call(ctx, opSetMany, []any{pairs, ms}, nil, len(keys))
	if err != nil {
		return nil, err
	}
	var failed map[string]error
	for i, one := range r.items {
		if one.err == nil {
			continue
		}
		if failed == nil {
			failed = map[string]error{}
		}
		failed[keys[i]] = one.err
	}
	return failed, nil
}

// DeleteMany returns how many of them were there.
func (c *Client) DeleteMany(ctx context.Context, keys ...string) (int64, error) {
	r, err := c.call(ctx, opDeleteMany, []any{bytesOf(keys)}, nil, 0)
	return r.number, err
}

// Lease returns an Entry: the value; or a Lease: load it yourself; or neither, where no lease was to be had in time: load
// it and Set it without one.
func (c *Client) Lease(ctx context.Context, key string) (*Entry, *Lease, error) {
	opts := c.deadline(ctx)
	opts[optionMeta] = true
	r, err := c.call(ctx, opLease, []any{[]byte(key)}, opts, 0)
	switch {
	case err != nil:
		return nil, nil, err
	case r.status == StatusLease:
		return nil, &Lease{Key: key, Token: r.token, Stale: r.value}, nil
	case r.value != nil:
		return entryOf(r), nil, nil
	}
	return nil, nil, nil
}

// Release gives a lease back, for the load failed: the next one who waits gets it. false: it was over already.
func (c *Client) Release(ctx context.Context, lease *Lease) (bool, error) {
	r, err := c.call(ctx, opRelease, []any{[]byte(lease.Key), lease.Token}, nil, 0)
	return err == nil && r.status == StatusDone, err
}

// Flush removes all keys.
func (c *Client) Flush(ctx context.Context) error {
	_, err := c.call(ctx, opFlush, nil, nil, 0)
	return err
}

// Stats returns the fields of INFO; section "" is its default.
func (c *Client) Stats(ctx context.Context, section string) (map[string]string, error) {
	var args []any
	if section != "" {
		args = []any{section}
	}
	r, err := c.call(ctx, opStats, args, nil, 0)
	return r.fields, err
}

// Ping asks whether the sidecar is there.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.call(ctx, opPing, nil, nil, 0)
	return err
}

func textOf(value any) string {
	switch v := value.(type) {
	case []byte:
		return string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return fmt.Sprint(value)
}
