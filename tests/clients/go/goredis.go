package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

func open(protocol int) *redis.Client {
	return redis.NewClient(&redis.Options{Network: "unix", Addr: socket, Protocol: protocol,
		ClientName: "claims", PoolSize: 64})
}

func goRedis(protocol int) {
	r := open(protocol)
	defer r.Close()
	name := func(what string) string { return fmt.Sprintf("go-redis, RESP%d, %s", protocol, what) }
	claim(name("it says who it is and asks who we are"), func() { tells(r, protocol) })
	claim(name("everyday commands"), func() { everyday(r) })
	claim(name("a scan iterator gives every key"), func() { scans(r) })
	claim(name("pipelines"), func() { pipelines(r) })
	claim(name("TxPipelined and WATCH"), func() { transactions(r) })
	claim(name("binary and large values"), func() { largeValues(r) })
	claim(name("publish and subscribe"), func() { published(r) })
	claim(name("errors are its own"), func() { refusals(r) })
	claim(name("a password is asked for"), func() { passwords(protocol) })
}

func passwords(protocol int) {
	for given, words := range map[string]string{"": "NOAUTH", "x": "WRONGPASS", password: ""} {
		r := redis.NewClient(&redis.Options{Network: "unix", Addr: guarded, Protocol: protocol,
			Password: given})
		err := r.Set(ctx, "k", "v", 0).Err()
		r.Close()
		if words == "" {
			check(err)
		} else {
			fails(err, words)
		}
	}
}

func tells(r *redis.Client, protocol int) {
	equal(must(r.Ping(ctx).Result()), "PONG")
	if !strings.Contains(must(r.Info(ctx, "server").Result()), "redis_version:7.0") {
		panic("no redis_version in INFO")
	}
	line := must(r.Do(ctx, "CLIENT", "INFO").Text())
	for _, part := range []string{" name=claims ", fmt.Sprintf(" resp=%d ", protocol),
		"lib-name=go-redis(,go", "lib-ver=" + redis.Version()} {
		if !strings.Contains(line, part) {
			panic(fmt.Sprintf("%q is not in %q", part, line))
		}
	}
	equal(must(r.ClientGetName(ctx).Result()), "claims")
	equal(must(r.ConfigGet(ctx, "maxmemory-policy").Result())["maxmemory-policy"], "allkeys-lru")
	if must(r.Command(ctx).Result())["get"].Arity != 2 {
		panic("COMMAND does not know GET")
	}
}

func everyday(r *redis.Client) {
	check(r.FlushAll(ctx).Err())
	equal(must(r.Set(ctx, "k", "v", 0).Result()), "OK")
	equal(must(r.Get(ctx, "k").Result()), "v")
	equal(r.Get(ctx, "gone").Err(), redis.Nil)
	equal(must(r.SetNX(ctx, "k", "w", time.Minute).Result()), false)
	equal(must(r.SetXX(ctx, "k", "w", 100*time.Second).Result()), true)
	equal(must(r.TTL(ctx, "k").Result()), 100*time.Second)
	equal(must(r.TTL(ctx, "gone").Result()), time.Duration(-2))
	equal(must(r.MSet(ctx, "a", 1, "b", "two").Result()), "OK")
	equal(must(r.MGet(ctx, "a", "b", "gone").Result()), []any{"1", "two", nil})
	equal(must(r.Incr(ctx, "n").Result()), int64(1))
	equal(must(r.DecrBy(ctx, "n", 5).Result()), int64(-4))
	equal(must(r.IncrByFloat(ctx, "n", 0.5).Result()), -3.5)
	equal(must(r.Exists(ctx, "a", "b", "gone").Result()), int64(2))
	equal(must(r.Expire(ctx, "a", 10*time.Second).Result()), true)
	equal(must(r.ExpireGT(ctx, "a", 5*time.Second).Result()), false)
	equal(must(r.GetEx(ctx, "a", 20*time.Second).Result()), "1")
	equal(must(r.Del(ctx, "a", "b", "gone").Result()), int64(2))
	equal(must(r.GetDel(ctx, "n").Result()), "-3.5")
	equal(must(r.SetArgs(ctx, "k", "x", redis.SetArgs{Get: true, KeepTTL: true}).Result()), "w")
	equal(must(r.Type(ctx, "k").Result()), "string")
	equal(must(r.DBSize(ctx).Result()), int64(1))
	equal(must(r.BitField(ctx, "bits", "INCRBY", "u8", 0, 200, "GET", "u4", 0).Result()),
		[]int64{200, 12})
}

func scans(r *redis.Client) {
	check(r.FlushAll(ctx).Err())
	for i := range 1000 {
		check(r.Set(ctx, fmt.Sprint("user:", i), i, 0).Err())
	}
	seen := map[string]bool{}
	walk := r.Scan(ctx, 0, "user:*", 50).Iterator()
	for walk.Next(ctx) {
		seen[walk.Val()] = true
	}
	check(walk.Err())
	equal(len(seen), 1000)
}

func pipelines(r *redis.Client) {
	said, err := r.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 2000 {
			p.Set(ctx, fmt.Sprint("k", i), i, time.Minute)
			p.Get(ctx, fmt.Sprint("k", i))
		}
		return nil
	})
	check(err)
	for i := range 2000 {
		equal(said[2*i+1].(*redis.StringCmd).Val(), fmt.Sprint(i))
	}
}

func transactions(r *redis.Client) {
	var n *redis.IntCmd
	_, err := r.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, "n", 5, 0)
		n = p.Incr(ctx, "n")
		return nil
	})
	check(err)
	equal(n.Val(), int64(6))
	tries := 0
	double := func(tx *redis.Tx) error {
		was, err := tx.Get(ctx, "n").Int()
		if tries++; tries == 1 {
			check(r.Incr(ctx, "n").Err())
		}
		if err == nil {
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.Set(ctx, "n", 2*was, 0)
				return nil
			})
		}
		return err
	}
	equal(errors.Is(r.Watch(ctx, double, "n"), redis.TxFailedErr), true)
	check(r.Watch(ctx, double, "n"))
	equal(must(r.Get(ctx, "n").Int()), 14)
}

func largeValues(r *redis.Client) {
	large := binary()
	check(r.Set(ctx, large[:1024], large, 0).Err())
	equal(must(r.Get(ctx, large[:1024]).Result()) == large, true)
	equal(must(r.StrLen(ctx, large[:1024]).Result()), int64(len(large)))
}

func published(r *redis.Client) {
	p := r.PSubscribe(ctx, "n*")
	defer p.Close()
	must(p.Receive(ctx))
	check(p.Subscribe(ctx, "news"))
	must(p.Receive(ctx))
	check(p.Ping(ctx, "here?"))
	equal(must(p.Receive(ctx)).(*redis.Pong).Payload, "here?")
	equal(must(r.Publish(ctx, "news", "hello").Result()), int64(2))
	for range 2 {
		m := must(p.ReceiveMessage(ctx))
		equal(m.Channel+" "+m.Payload, "news hello")
	}
	equal(must(r.PubSubNumSub(ctx, "news").Result()), map[string]int64{"news": 1})
}

func refusals(r *redis.Client) {
	check(r.Set(ctx, "text", "x", 0).Err())
	fails(r.Incr(ctx, "text").Err(), "ERR value is not an integer or out of range")
	fails(r.LPush(ctx, "l", "x").Err(),
		"ERR unknown command 'lpush', with args beginning with: 'l' 'x'")
	fails(r.Do(ctx, "GET").Err(), "ERR wrong number of arguments for 'get' command")
	equal(must(r.Get(ctx, "text").Result()), "x")
}

// What no version of the protocol changes.
func goRedisShared() {
	claim("go-redis, fifty connections at once", func() {
		r := open(3)
		defer r.Close()
		check(r.Del(ctx, "n").Err())
		var all sync.WaitGroup
		for range 50 {
			all.Add(1)
			go func() {
				defer all.Done()
				c := r.Conn()
				defer c.Close()
				for range 20 {
					c.Incr(ctx, "n")
				}
			}()
		}
		all.Wait()
		equal(must(r.Get(ctx, "n").Int()), 1000)
	})
	claim("go-redis, it comes back when the daemon does", func() {
		r := open(3)
		defer r.Close()
		p := r.Subscribe(ctx, "news")
		defer p.Close()
		heard := p.Channel()
		check(r.Set(ctx, "k", "v", 0).Err())
		ask("stop")
		fails(r.Get(ctx, "k").Err(), "connect")
		ask("start")
		equal(r.Get(ctx, "k").Err(), redis.Nil)
		until("the subscription to be renewed", func() bool {
			return must(r.Publish(ctx, "news", "again").Result()) == 1
		})
		equal((<-heard).Payload, "again")
	})
}
