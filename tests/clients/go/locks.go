package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
)

const workers, rounds = 8, 25

// locks are scripts in Lua, which the daemon knows by their text.
func locks() {
	for _, protocol := range []int{2, 3} {
		r := open(protocol)
		name := func(what string) string { return fmt.Sprintf("RESP%d, %s", protocol, what) }
		check(r.ScriptFlush(ctx).Err())
		l := redislock.New(r)
		claim(name("redislock, a lock is one's own"), func() { redislockOwn(l) })
		claim(name("redislock, metadata and a token of one's own"), func() { redislockToken(l) })
		claim(name("redislock, many at once, one inside"), func() {
			exclude(protocol, func(critical func()) {
				lock := must(l.Obtain(ctx, "l", time.Minute, &redislock.Options{
					RetryStrategy: redislock.LinearBackoff(time.Millisecond)}))
				critical()
				check(lock.Release(ctx))
			})
		})
		rs := redsync.New(goredis.NewPool(r))
		claim(name("redsync, a mutex is one's own"), func() { redsyncOwn(rs) })
		claim(name("redsync, a mutex that ran out is taken anew"), func() { redsyncAnew(rs) })
		claim(name("redsync, many at once, one inside"), func() {
			exclude(protocol, func(critical func()) {
				m := rs.NewMutex("l", redsync.WithExpiry(time.Minute), redsync.WithTries(100000),
					redsync.WithRetryDelay(time.Millisecond))
				check(m.Lock())
				critical()
				equal(must(m.Unlock()), true)
			})
		})
		check(r.Close())
	}
}

func exclude(protocol int, with func(critical func())) {
	r := open(protocol)
	defer r.Close()
	check(r.FlushAll(ctx).Err())
	var inside, worst atomic.Int32
	var failed atomic.Value
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			defer func() {
				if why := recover(); why != nil {
					failed.Store(fmt.Sprint(why))
				}
			}()
			for range rounds {
				with(func() {
					worst.Store(max(worst.Load(), inside.Add(1)))
					n, _ := r.Get(ctx, "n").Int()
					check(r.Set(ctx, "n", n+1, 0).Err()) // not atomic but for the lock
					inside.Add(-1)
				})
			}
		})
	}
	group.Wait()
	equal(failed.Load(), nil)
	equal(worst.Load(), int32(1))
	equal(must(r.Get(ctx, "n").Int()), workers*rounds)
}

func is(err, wanted error) {
	if !errors.Is(err, wanted) {
		panic(fmt.Sprintf("%v, not %v", err, wanted))
	}
}

func redislockOwn(l *redislock.Client) {
	r := open(2)
	defer r.Close()
	check(r.FlushAll(ctx).Err())
	lock := must(l.Obtain(ctx, "l", time.Minute, nil))
	_, err := l.Obtain(ctx, "l", time.Minute, nil)
	is(err, redislock.ErrNotObtained)
	left := must(lock.TTL(ctx))
	equal(left > 50*time.Second && left <= time.Minute, true)
	check(lock.Refresh(ctx, 2*time.Minute, nil))
	equal(must(lock.TTL(ctx)) > time.Minute, true)
	check(lock.Release(ctx))
	is(lock.Release(ctx), redislock.ErrLockNotHeld)
	is(lock.Refresh(ctx, time.Minute, nil), redislock.ErrNotObtained)
	equal(must(lock.TTL(ctx)), time.Duration(0))
	lock = must(l.Obtain(ctx, "l", 20*time.Millisecond, nil))
	until("the lock's time to be over", func() bool { return must(r.Exists(ctx, "l").Result()) == 0 })
	is(lock.Release(ctx), redislock.ErrLockNotHeld)
	lock = must(l.Obtain(ctx, "l", time.Minute, nil))
	check(r.Set(ctx, "l", "somebody else's", 0).Err())
	is(lock.Release(ctx), redislock.ErrLockNotHeld)
	equal(must(r.Get(ctx, "l").Result()), "somebody else's")
}

// redislockToken: who has the token may take the lock once more, with other metadata.
func redislockToken(l *redislock.Client) {
	r := open(2)
	defer r.Close()
	check(r.FlushAll(ctx).Err())
	options := func(meta string) *redislock.Options {
		return &redislock.Options{Token: "my own token", Metadata: meta}
	}
	lock := must(l.Obtain(ctx, "l", time.Minute, options("first")))
	equal(lock.Metadata(), "first")
	again := must(l.Obtain(ctx, "l", time.Minute, options("second one")))
	equal(must(r.Get(ctx, "l").Result()), "my own tokensecond one")
	_, err := l.Obtain(ctx, "l", time.Minute, &redislock.Options{Token: "another token"})
	is(err, redislock.ErrNotObtained)
	is(lock.Release(ctx), redislock.ErrLockNotHeld)
	check(again.Release(ctx))
}

func redsyncOwn(rs *redsync.Redsync) {
	r := open(2)
	defer r.Close()
	check(r.FlushAll(ctx).Err())
	m, other := rs.NewMutex("l"), rs.NewMutex("l", redsync.WithTries(1))
	check(m.Lock())
	var taken *redsync.ErrTaken
	if err := other.TryLock(); !errors.As(err, &taken) {
		panic(fmt.Sprintf("%v, no ErrTaken", err))
	}
	equal(must(m.Extend()), true)
	equal(must(m.Unlock()), true)
	_, err := m.Unlock()
	is(err, redsync.ErrLockAlreadyExpired)
	check(other.LockContext(context.Background()))
	check(r.Set(ctx, "l", "somebody else's", 0).Err())
	if ok, err := other.Extend(); ok || err == nil {
		panic("a lock that somebody else has was extended")
	}
	equal(must(r.Get(ctx, "l").Result()), "somebody else's")
}

func redsyncAnew(rs *redsync.Redsync) {
	r := open(2)
	defer r.Close()
	check(r.FlushAll(ctx).Err())
	m := rs.NewMutex("l", redsync.WithExpiry(time.Minute), redsync.WithSetNXOnExtend())
	check(m.Lock())
	check(r.Del(ctx, "l").Err())
	equal(must(m.Extend()), true)
	equal(must(r.Exists(ctx, "l").Result()), int64(1))
	equal(must(m.Extend()), true)
	equal(must(m.Unlock()), true)
}
