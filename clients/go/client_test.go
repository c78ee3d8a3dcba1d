package pannier

import (
	"bufio"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// A server that does what a test tells it, on a Unix socket of its own.

type asked struct {
	op   op
	id   int64
	args []any
}

type scripted struct {
	t        *testing.T
	path     string
	preface  []byte
	answer   func(nc net.Conn, a asked)
	mu       sync.Mutex
	conns    []net.Conn
	seen     []asked
	listener net.Listener
}

func packed(t testing.TB, fields ...any) []byte {
	data, err := msgpack.Marshal(fields)
	must(t, err)
	return frame(data)
}

func offer(t testing.TB) []byte {
	return append([]byte{magic}, packed(t, "pannier", 1, map[string]any{"server": "scripted", "id": 1})...)
}

func serve(t *testing.T, preface []byte, answer func(nc net.Conn, a asked)) *scripted {
	s := &scripted{t: t, path: filepath.Join(t.TempDir(), "s"), preface: preface, answer: answer}
	var err error
	s.listener, err = net.Listen("unix", s.path)
	must(t, err)
	var running sync.WaitGroup
	running.Add(1)
	go func() {
		defer running.Done()
		for {
			nc, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, nc)
			s.mu.Unlock()
			running.Add(1)
			go func() {
				defer running.Done()
				s.converse(nc)
			}()
		}
	}()
	t.Cleanup(func() {
		s.listener.Close()
		s.dropAll()
		running.Wait()
	})
	return s
}

func (s *scripted) converse(nc net.Conn) {
	r := bufio.NewReader(nc)
	if first, err := r.ReadByte(); err != nil || first != magic {
		return
	}
	if _, err := readFrame(r); err != nil {
		return
	}
	if _, err := nc.Write(s.preface); err != nil {
		return
	}
	for {
		body, err := readFrame(r)
		if err != nil {
			return
		}
		fields, err := unpack(body)
		if err != nil {
			return
		}
		a := asked{op(fields[0].(int64)), fields[1].(int64), fields[2:]}
		s.mu.Lock()
		s.seen = append(s.seen, a)
		s.mu.Unlock()
		s.answer(nc, a)
	}
}

func (s *scripted) dropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nc := range s.conns {
		nc.Close()
	}
	s.conns = nil
}

func (s *scripted) last() asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[len(s.seen)-1]
}

func (s *scripted) count(o op) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.seen {
		if a.op == o {
			n++
		}
	}
	return n
}

func reply2(t testing.TB, nc net.Conn, fields ...any) { _, _ = nc.Write(packed(t, fields...)) }

func hit(t testing.TB) func(nc net.Conn, a asked) {
	return func(nc net.Conn, a asked) { reply2(t, nc, a.id, StatusHit, a.args[0]) }
}

func connect(t testing.TB, opts Options) *Client {
	c, err := New(opts)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

var ctx = context.Background()

func wants(t *testing.T, c *Client, key string) {
	t.Helper()
	value, err := c.Get(ctx, key)
	must(t, err)
	if string(value) != key {
		t.Fatalf("%q came, not %q", value, key)
	}
}

func TestAValueComesBack(t *testing.T) {
	wants(t, connect(t, Options{Address: serve(t, offer(t), hit(t)).path}), "k")
}

func TestNobodyThereFailsAtOnceAndIsNotAskedAgainAndAgain(t *testing.T) {
	c := connect(t, Options{Address: "/nowhere/at/all"})
	_, err := c.Get(ctx, "k")
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no connection") {
		t.Error(err)
	}
	if _, err = c.Get(ctx, "k"); err == nil || !strings.Contains(err.Error(), "a moment ago") {
		t.Error(err)
	}
}

func TestGetOrLoadLoadsDirectlyWhereNobodyIsThere(t *testing.T) {
	var noted []string
	c := connect(t, Options{Address: "/nowhere/at/all",
		Metrics: func(op, status string, _ time.Duration) { noted = append(noted, op+" "+status) }})
	got, err := GetOrLoad(ctx, c, "k", time.Second, func(context.Context) (int, error) { return 7, nil })
	if got != 7 || err != nil || strings.Join(noted, ",") != "LEASE unavailable,load direct" {
		t.Error(got, err, noted)
	}
}

func TestAServerThatIsNoPannierIsNamed(t *testing.T) {
	s := serve(t, []byte("-ERR max number of clients reached\r\n"), hit(t))
	_, err := connect(t, Options{Address: s.path}).Get(ctx, "k")
	if !errors.Is(err, ErrProtocol) || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "max number") {
		t.Error(err)
	}
}

func TestASilentServerIsGivenUpInTime(t *testing.T) {
	c := connect(t, Options{Address: serve(t, nil, hit(t)).path, ConnectTimeout: 30 * time.Millisecond})
	if _, err := c.Get(ctx, "k"); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

func TestACallWithoutAnAnswerEndsInTimeAndIsCancelled(t *testing.T) {
	s := serve(t, offer(t), func(nc net.Conn, a asked) {
		if a.op == opCancel {
			reply2(t, nc, a.args[0], StatusError, "CANCELLED", "as you like")
			reply2(t, nc, a.id, StatusDone)
		} else if string(a.args[0].([]byte)) != "slow" {
			hit(t)(nc, a)
		}
	})
	c := connect(t, Options{Address: s.path})
	short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	_, err := c.Get(short, "slow")
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	wants(t, c, "k")
	if s.count(opCancel) != 1 {
		t.Error("it was not cancelled")
	}
}

func TestErrorsHaveACodeAndLeaveTheConnection(t *testing.T) {
	s := serve(t, offer(t), func(nc net.Conn, a asked) {
		if string(a.args[0].([]byte)) == "bad" {
			reply2(t, nc, a.id, StatusError, "ORIGIN", "it is away")
		} else {
			hit(t)(nc, a)
		}
	})
	c := connect(t, Options{Address: s.path})
	_, err := c.Get(ctx, "bad")
	var replied *ReplyError
	if !errors.As(err, &replied) || replied.Code != "ORIGIN" || replied.Text != "it is away" {
		t.Error(err)
	}
	wants(t, c, "k")
	if len(s.conns) != 1 {
		t.Error("another connection was made")
	}
}

func TestAnswersInAnotherOrderFindTheirRequest(t *testing.T) {
	var mu sync.Mutex
	var held []asked
	s := serve(t, offer(t), func(nc net.Conn, a asked) {
		mu.Lock()
		defer mu.Unlock()
		if held = append(held, a); len(held) == 3 {
			for i := range held {
				hit(t)(nc, held[2-i])
			}
		}
	})
	c := connect(t, Options{Address: s.path, Timeout: 10 * time.Second})
	var all sync.WaitGroup
	for _, key := range []string{"a", "b", "c"} {
		key := key
		all.Add(1)
		go func() {
			defer all.Done()
			if value, err := c.Get(ctx, key); string(value) != key {
				t.Error(key, value, err)
			}
		}()
	}
	all.Wait()
}

func TestADaemonThatRestartedIsFoundAgain(t *testing.T) {
	s := serve(t, offer(t), hit(t))
	c := connect(t, Options{Address: s.path})
	wants(t, c, "k")
	s.dropAll()
	wants(t, c, "k")
}

func TestWhatMustNotBeSentTwiceIsNot(t *testing.T) {
	s := serve(t, offer(t), func(nc net.Conn, a asked) {
		if a.op == opIncr {
			nc.Close()
		} else {
			hit(t)(nc, a)
		}
	})
	c := connect(t, Options{Address: s.path})
	wants(t, c, "k")
	if _, err := c.Incr(ctx, "n", 1, 0, 0); !errors.Is(err, ErrUnavailable) || s.count(opIncr) != 1 {
		t.Error(err, s.count(opIncr))
	}
}

func TestViolationsOfTheServer(t *testing.T) {
	each(t, func(t *testing.T, v vector, st step) bool {
		if st.Client == "" || v.Raw {
			return false
		}
		o, _ := opOf(st.Request.Op)
		if o != opGet && o != opGetMany {
			return false
		}
		data := wireBytes(t, st.Receive)
		s := serve(t, offer(t), func(nc net.Conn, a asked) {
			_, _ = nc.Write(data) // the vector's id is 1; so is the client's first
			if st.Client == "closes" {
				nc.(*net.UnixConn).CloseWrite()
			}
		})
		c := connect(t, Options{Address: s.path})
		var err error
		if o == opGet {
			_, err = c.Get(ctx, "k")
		} else {
			_, err = c.GetMany(ctx, "a", "b")
		}
		var replied *ReplyError
		switch {
		case st.Client == "answers":
			must(t, err)
		case st.Client == "fails":
			if !errors.Is(err, ErrUnexpected) && !errors.As(err, &replied) {
				t.Error(err)
			}
		case v.Name == "same_reply_twice": // the second is of no concern to the caller
			must(t, err)
		case !errors.Is(err, ErrUnavailable):
			t.Error(err)
		}
		return true
	})
}

// One key, whose lease the first one gets.
func leases(t *testing.T, first ...any) (*scripted, *Client) {
	s := serve(t, offer(t), func(nc net.Conn, a asked) {
		switch a.op {
		case opLease:
			reply2(t, nc, append([]any{a.id}, first...)...)
		case opSet:
			reply2(t, nc, a.id, StatusStored)
		default:
			reply2(t, nc, a.id, StatusDone)
		}
	})
	return s, connect(t, Options{Address: s.path})
}

func loads[T any](v T, err error) func(context.Context) (T, error) {
	return func(context.Context) (T, error) { return v, err }
}

func TestALeaseIsRedeemedWithItsToken(t *testing.T) {
	s, c := leases(t, StatusLease, []byte("t"))
	got, err := GetOrLoadWith(ctx, c, "k", LoadOptions[string]{TTL: 1500 * time.Millisecond, Grace: 3 * time.Second},
		loads("v", nil))
	last := s.last()
	if got != "v" || err != nil || last.op != opSet || last.args[2] != int64(1500) {
		t.Fatal(got, err, last)
	}
}

func TestAFailedLoadGivesTheLeaseBack(t *testing.T) {
	s, c := leases(t, StatusLease, []byte("t"))
	away := errors.New("away")
	if _, err := GetOrLoad(ctx, c, "k", 0, loads(0, away)); err != away || s.last().op != opRelease {
		t.Fatal(err, s.last())
	}
}

func TestALoadThatPanicsGivesTheLeaseBack(t *testing.T) {
	s, c := leases(t, StatusLease, []byte("t"))
	defer func() {
		if recover() == nil || s.last().op != opRelease {
			t.Error(s.last())
		}
	}()
	_, _ = GetOrLoad(ctx, c, "k", 0, func(context.Context) (int, error) { panic("here") })
}

func TestAStaleValueStandsInForAFailedLoad(t *testing.T) {
	s, c := leases(t, StatusLease, []byte("t"), []byte(`"old"`))
	got, err := GetOrLoadWith(ctx, c, "k", LoadOptions[string]{Codec: JSON[string]()}, loads("", errors.New("away")))
	if got != "old" || err != nil || s.last().op != opRelease {
		t.Fatal(got, err, s.last())
	}
}

func TestWithoutALeaseItIsLoadedAndStored(t *testing.T) {
	s, c := leases(t, StatusMiss)
	got, err := GetOrLoad(ctx, c, "k", 0, loads(7, nil))
	if got != 7 || err != nil || s.last().op != opSet || len(s.last().args) != 3 {
		t.Fatal(got, err, s.last())
	}
}

func TestWhatCannotBeDecodedIsLoadedAnew(t *testing.T) {
	_, c := leases(t, StatusHit, []byte{0xc1})
	if got, err := GetOrLoad(ctx, c, "k", 0, loads(7, nil)); got != 7 || err != nil {
		t.Fatal(got, err)
	}
}

func TestPasswordsAreSentFirst(t *testing.T) {
	s := serve(t, offer(t), func(nc net.Conn, a asked) {
		switch {
		case a.op != opAuth:
			hit(t)(nc, a)
		case string(a.args[0].([]byte)) == "secret":
			reply2(t, nc, a.id, StatusDone)
		default:
			reply2(t, nc, a.id, StatusError, "WRONGPASS", "no")
		}
	})
	wants(t, connect(t, Options{Address: s.path, Password: "secret"}), "k")
	if _, err := connect(t, Options{Address: s.path, Password: "other"}).Get(ctx, "k"); err == nil ||
		!strings.Contains(err.Error(), "WRONGPASS") {
		t.Error(err)
	}
}

func TestAddressesAndTimesThatAreNone(t *testing.T) {
	for _, address := range []string{"unix:", "tcp:localhost", "http://x", "x"} {
		if _, err := New(Options{Address: address}); err == nil || !strings.Contains(err.Error(), "is meant") {
			t.Error(address, err)
		}
	}
	c := connect(t, Options{Address: "/nowhere"})
	if _, err := c.Set(ctx, "k", nil, -1); err == nil || errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

func TestIdsAreShortAndNeverUsedTwiceAtATime(t *testing.T) {
	c := &conn{waiting: map[uint32]waiter{}}
	seen := map[uint32]bool{}
	for i := 0; i < 300; i++ {
		id, err := c.register(waiter{})
		must(t, err)
		if seen[id] {
			t.Fatal("twice", id)
		}
		seen[id] = true
	}
	c.waiting = map[uint32]waiter{}
	if id, _ := c.register(waiter{}); id > 127 {
		t.Error("a long one", id)
	}
}
