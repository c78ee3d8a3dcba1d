package main

import (
	"sync"

	"github.com/gomodule/redigo/redis"
)

func redigoClaims() {
	pool := &redis.Pool{MaxActive: 50, Wait: true, Dial: func() (redis.Conn, error) {
		return redis.Dial("unix", socket, redis.DialClientName("claims"))
	}}
	defer pool.Close()
	c := pool.Get()
	defer c.Close()
	claim("redigo, everyday commands", func() { redigoEveryday(c) })
	claim("redigo, pipelines and MULTI", func() { redigoPipelines(c) })
	claim("redigo, publish and subscribe", func() { redigoPublished(pool) })
	claim("redigo, a password is asked for", redigoPassword)
	claim("redigo, fifty connections at once", func() { redigoMany(pool) })
}

func redigoPassword() {
	c := must(redis.Dial("unix", guarded))
	_, err := c.Do("GET", "k")
	fails(err, "NOAUTH Authentication required.")
	c.Close()
	_, err = redis.Dial("unix", guarded, redis.DialPassword("x"))
	fails(err, "WRONGPASS")
	c = must(redis.Dial("unix", guarded, redis.DialPassword(password)))
	equal(must(redis.String(c.Do("SET", "k", "v"))), "OK")
	c.Close()
}

func redigoEveryday(c redis.Conn) {
	must(c.Do("FLUSHALL"))
	equal(must(redis.String(c.Do("SET", "k", "v", "EX", 100))), "OK")
	equal(must(redis.String(c.Do("GET", "k"))), "v")
	_, err := redis.String(c.Do("GET", "gone"))
	equal(err, redis.ErrNil)
	equal(must(redis.Int(c.Do("TTL", "k"))), 100)
	must(c.Do("MSET", redis.Args{}.AddFlat(map[string]int{"a": 1, "b": 2})...))
	equal(must(redis.Ints(c.Do("MGET", "a", "b"))), []int{1, 2})
	large := binary()
	must(c.Do("SET", "large", large))
	equal(must(redis.String(c.Do("GET", "large"))) == large, true)
	_, err = c.Do("LPUSH", "l", "x")
	fails(err, "ERR unknown command 'LPUSH', with args beginning with: 'l' 'x'")
}

func redigoPipelines(c redis.Conn) {
	check(c.Send("SET", "p", 1))
	check(c.Send("INCR", "p"))
	check(c.Flush())
	must(c.Receive())
	equal(must(redis.Int(c.Receive())), 2)
	check(c.Send("MULTI"))
	check(c.Send("INCR", "p"))
	check(c.Send("GET", "p"))
	equal(must(redis.Ints(c.Do("EXEC"))), []int{3, 3})
}

func redigoPublished(pool *redis.Pool) {
	p := redis.PubSubConn{Conn: pool.Get()}
	defer p.Close()
	check(p.Subscribe("news"))
	equal(p.Receive().(redis.Subscription).Count, 1)
	c := pool.Get()
	defer c.Close()
	equal(must(redis.Int(c.Do("PUBLISH", "news", "hello"))), 1)
	equal(string(p.Receive().(redis.Message).Data), "hello")
}

func redigoMany(pool *redis.Pool) {
	c := pool.Get()
	must(c.Do("DEL", "n"))
	c.Close()
	var all sync.WaitGroup
	for range 49 { // and the one that is out
		all.Add(1)
		go func() {
			defer all.Done()
			c := pool.Get()
			defer c.Close()
			for range 20 {
				c.Do("INCR", "n")
			}
		}()
	}
	all.Wait()
	c = pool.Get()
	defer c.Close()
	equal(must(redis.Int(c.Do("GET", "n"))), 49*20)
}
