package pannier

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Against the real daemon, which $PANNIER names.

const patience = time.Minute

func daemon(t *testing.T, more string) (path, tcp string) {
	binary := os.Getenv("PANNIER")
	if binary == "" {
		t.Skip("PANNIER does not name the daemon")
	}
	folder, err := os.MkdirTemp("", "pannier-go-") // t.TempDir() is too long for a socket
	must(t, err)
	path = filepath.Join(folder, "s")
	config := filepath.Join(folder, "c.yaml")
	must(t, os.WriteFile(config, []byte("listen:\n  - unix: "+path+"\n  - tcp: 127.0.0.1:0\nmemory: 64MiB\nthreads: 2\n"+more), 0o600))
	cmd := exec.Command(binary, "serve", "--config", config)
	out, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		os.RemoveAll(folder)
	})
	lines := bufio.NewScanner(out)
	for tcp == "" && lines.Scan() {
		if _, at, found := strings.Cut(lines.Text(), "listening on tcp:"); found { // the last one
			tcp = "tcp:" + at
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return path, tcp
}

func connected(t *testing.T) *Client {
	path, _ := daemon(t, "")
	return connect(t, Options{Address: path, Timeout: patience, ConnectTimeout: patience})
}

func check(t *testing.T, ok bool, err error) {
	t.Helper()
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
}

func TestValues(t *testing.T) {
	c := connected(t)
	_, err := c.Get(ctx, "k")
	check(t, errors.Is(err, ErrNotFound), nil)
	ok, err := c.Set(ctx, "k", []byte{0, 255}, time.Minute)
	check(t, ok, err)
	entry, err := c.GetEntry(ctx, "k")
	check(t, err == nil && bytes.Equal(entry.Value, []byte{0, 255}) && entry.Status == StatusHit &&
		*entry.Left > 0 && *entry.Left <= time.Minute, err)
	ok, err = c.Set(ctx, "k", []byte("other"), 0, IfToken(entry.Token))
	check(t, ok, err)
	ok, err = c.Set(ctx, "k", []byte("third"), 0, IfToken(entry.Token))
	check(t, !ok, err)
	ok, err = c.Set(ctx, "k", nil, 0, IfAbsent())
	check(t, !ok, err)
	length, _, err := c.Peek(ctx, "k")
	check(t, length == 5, err)
	ok, err = c.Touch(ctx, "k", time.Second)
	check(t, ok, err)
	ok, err = c.Delete(ctx, "k", IfValue([]byte("none")))
	check(t, !ok, err)
	ok, err = c.Delete(ctx, "k")
	check(t, ok, err)
}

func TestLargeValuesAndMany(t *testing.T) {
	c := connected(t)
	large := bytes.Repeat([]byte("abc"), 30_000)
	ok, err := c.Set(ctx, "large", large, 0)
	check(t, ok, err)
	got, err := c.Get(ctx, "large")
	check(t, bytes.Equal(got, large), err)
	failed, err := c.SetMany(ctx, map[string][]byte{"a": []byte("1"), "b": {}}, 0)
	check(t, failed == nil, err)
	many, err := c.GetMany(ctx, "a", "none", "b")
	check(t, len(many) == 2 && string(many["a"]) == "1" && len(many["b"]) == 0, err)
	n, err := c.DeleteMany(ctx, "a", "none")
	check(t, n == 1, err)
	check(t, true, c.Flush(ctx))
	_, err = c.Get(ctx, "b")
	check(t, errors.Is(err, ErrNotFound), nil)
}

func TestCounters(t *testing.T) {
	c := connected(t)
	n, err := c.Incr(ctx, "n", 1<<62, 0, 0)
	check(t, n == 1<<62, err)
	n, err = c.Incr(ctx, "m", 5, 10, time.Minute)
	check(t, n == 15, err)
	_, err = c.Incr(ctx, "n", 1<<62, 0, 0)
	var replied *ReplyError
	check(t, errors.As(err, &replied) && replied.Code == "OVERFLOW", nil)
}

func TestWhatTheDaemonSaysOfItself(t *testing.T) {
	c := connected(t)
	check(t, true, c.Ping(ctx))
	stats, err := c.Stats(ctx, "server")
	check(t, stats["redis_mode"] == "standalone", err)
}

func TestTCP(t *testing.T) {
	path, tcp := daemon(t, "")
	c := connect(t, Options{Address: tcp, Timeout: patience, ConnectTimeout: patience})
	d := connect(t, Options{Address: path, Timeout: patience, ConnectTimeout: patience})
	ok, err := c.Set(ctx, "k", bytes.Repeat([]byte("v"), 100000), 0)
	check(t, ok, err)
	got, err := c.Get(ctx, "k")
	check(t, len(got) == 100000, err)
	same, err := d.Get(ctx, "k")
	check(t, bytes.Equal(got, same), err)
}

func TestAStaleValueStandsInWhileTheLoaderFails(t *testing.T) {
	c := connected(t)
	away := errors.New("the database is away")
	load := func(value string, err error, ttl time.Duration) (string, error) {
		return GetOrLoadWith(ctx, c, "k", LoadOptions[string]{TTL: ttl, Grace: time.Hour},
			func(context.Context) (string, error) { return value, err })
	}
	got, err := load("old", nil, time.Millisecond)
	check(t, got == "old", err)
	for _, _, err = c.Peek(ctx, "k"); err == nil; _, _, err = c.Peek(ctx, "k") {
	}
	check(t, errors.Is(err, ErrNotFound), nil)
	got, err = load("", away, time.Minute)
	check(t, got == "old", err)
	got, err = load("new", nil, time.Minute)
	check(t, got == "new", err)
	got, err = load("", away, time.Minute)
	check(t, got == "new", err)
	check(t, true, c.Flush(ctx))
	_, err = load("", away, time.Minute)
	check(t, errors.Is(err, away), nil)
}

func TestAThousandGoroutinesLoadOnce(t *testing.T) {
	c := connected(t)
	var loads atomic.Int32
	var all sync.WaitGroup
	for i := 0; i < 1000; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			got, err := GetOrLoad(ctx, c, "k", time.Minute, func(context.Context) (string, error) {
				loads.Add(1)
				time.Sleep(50 * time.Millisecond) // what a backend takes
				return "v", nil
			})
			if got != "v" || err != nil {
				t.Error(got, err)
			}
		}()
	}
	all.Wait()
	check(t, loads.Load() == 1, nil)
}

// The test program itself, as another process that asks for the same key and loads when it is told to.
func TestMain(m *testing.M) {
	path := os.Getenv("PANNIER_TEST_PROCESS")
	if path == "" {
		os.Exit(m.Run())
	}
	in := bufio.NewReader(os.Stdin)
	c, err := New(Options{Address: path, Timeout: patience, ConnectTimeout: patience})
	if err == nil {
		var value string
		value, err = GetOrLoadWith(ctx, c, "k", LoadOptions[string]{TTL: patience, Wait: patience},
			func(context.Context) (string, error) {
				fmt.Println("loading")
				_, err := in.ReadString('\n')
				return fmt.Sprint("v", os.Getpid()), err
			})
		fmt.Println("got", value)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

type said struct {
	by   *process
	line string
}

func spawn(t *testing.T, path string, lines chan<- said) *process {
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), "PANNIER_TEST_PROCESS="+path)
	var err error
	p.in, err = p.cmd.StdinPipe()
	must(t, err)
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			lines <- said{p, scan.Text()}
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-done
		_ = p.cmd.Wait()
	})
	return p
}

func hear(t *testing.T, lines <-chan said, word string) said {
	t.Helper()
	select {
	case s := <-lines:
		if !strings.HasPrefix(s.line, word) {
			t.Fatalf("%q was heard, not %s", s.line, word)
		}
		return s
	case <-time.After(patience):
		t.Fatalf("%s was not heard", word)
		return said{}
	}
}

func TestFourProcessesLoadOnceAndWhoIsKilledIsReplaced(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprint("killed=", killed), func(t *testing.T) {
			path, _ := daemon(t, "namespaces:\n  - prefix: k\n    lease_time: 60s\n")
			stats := connect(t, Options{Address: path, Timeout: patience})
			lines := make(chan said, 100)
			for i := 0; i < 4; i++ {
				spawn(t, path, lines)
			}
			winner := hear(t, lines, "loading").by
			for waiting := ""; waiting != "3"; {
				fields, err := stats.Stats(ctx, "clients")
				must(t, err)
				waiting = fields["blocked_clients"]
			}
			others := 4
			if killed {
				must(t, winner.cmd.Process.Kill())
				winner, others = hear(t, lines, "loading").by, 3
			}
			_, err := winner.in.Write([]byte("go\n"))
			must(t, err)
			for i := 0; i < others; i++ {
				if got := hear(t, lines, "got"); got.line != fmt.Sprint("got v", winner.cmd.Process.Pid) {
					t.Error(got.line)
				}
			}
		})
	}
}
