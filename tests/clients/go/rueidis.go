package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

func rueidisOpen(path string) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{path},
		DialCtxFn: func(ctx context.Context, path string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		}})
}

// rueidis pipelines by itself over one connection, and caches what it is asked to.
func rueidisClaims() {
	r := must(rueidisOpen(socket))
	defer r.Close()
	do := func(words ...string) rueidis.RedisResult {
		return r.Do(ctx, r.B().Arbitrary(words[0]).Args(words[1:]...).Build())
	}
	claim("rueidis, everyday commands", func() {
		check(do("FLUSHALL").Error())
		check(r.Do(ctx, r.B().Set().Key("k").Value("v").ExSeconds(100).Build()).Error())
		equal(must(r.Do(ctx, r.B().Get().Key("k").Build()).ToString()), "v")
		equal(rueidis.IsRedisNil(do("GET", "gone").Error()), true)
		equal(must(do("TTL", "k").ToInt64()), int64(100))
		check(do("SET", "large", binary()).Error())
		equal(must(do("GET", "large").ToString()) == binary(), true)
		fails(do("LPUSH", "l", "x").Error(), "unknown command 'LPUSH', with args beginning with: 'l' 'x'")
	})
	claim("rueidis, many callers share one connection", func() {
		var all sync.WaitGroup
		for i := range 50 {
			all.Add(1)
			go func() {
				defer all.Done()
				for range 20 {
					do("INCR", "n")
					do("INCR", fmt.Sprint("own:", i))
				}
			}()
		}
		all.Wait()
		equal(must(do("GET", "n").AsInt64()), int64(1000))
		equal(must(do("GET", "own:7").AsInt64()), int64(20))
	})
	claim("rueidis, client-side caching", func() { rueidisCaches(r) })
}

// A key that was read stays with the client, until it changes.
func rueidisCaches(r rueidis.Client) {
	other := open(3)
	defer other.Close()
	read := func() rueidis.RedisResult {
		return r.DoCache(ctx, r.B().Get().Key("k").Cache(), time.Minute)
	}
	for _, value := range []string{"1", "2", "3"} {
		check(other.Set(ctx, "k", value, 0).Err())
		until("it to read "+value, func() bool { got, err := read().ToString(); return err == nil && got == value })
		for range 100 {
			equal(read().IsCacheHit(), true)
		}
	}
	check(other.FlushAll(ctx).Err())
	until("it to hear of the flush", func() bool { return rueidis.IsRedisNil(read().Error()) })
	check(other.MSet(ctx, "a", 1, "b", 2).Err())
	for range 2 {
		got := must(rueidis.MGetCache(r, ctx, time.Minute, []string{"a", "b"}))
		b := got["b"]
		equal(must(b.ToString()), "2")
	}
}
