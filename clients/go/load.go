package pannier

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// Codec makes bytes of the values of GetOrLoad.
type Codec[T any] struct {
	Encode func(T) ([]byte, error)
	Decode func([]byte) (T, error)
}

// MsgPack is the default codec.
func MsgPack[T any]() Codec[T] {
	return Codec[T]{
		Encode: func(v T) ([]byte, error) { return msgpack.Marshal(v) },
		Decode: func(b []byte) (v T, err error) { return v, msgpack.Unmarshal(b, &v) },
	}
}

// JSON is readable by everybody.
func JSON[T any]() Codec[T] {
	return Codec[T]{
		Encode: func(v T) ([]byte, error) { return json.Marshal(v) },
		Decode: func(b []byte) (v T, err error) { return v, json.Unmarshal(b, &v) },
	}
}

// Raw takes bytes as they are.
func Raw() Codec[[]byte] {
	same := func(b []byte) ([]byte, error) { return b, nil }
	return Codec[[]byte]{Encode: same, Decode: same}
}

// LoadOptions of GetOrLoadWith.
type LoadOptions[T any] struct {
	TTL   time.Duration // 0: until it is evicted
	Grace time.Duration // how long after its end it may still be served as stale
	Wait  time.Duration // for somebody else's load, where the context has no deadline; 5 s
	Codec Codec[T]      // MsgPack, if left out
}

// GetOrLoad returns the value; where it is not cached, what load returns, which one caller of all runs, in whatever
// process, while the others wait. It never fails because of the sidecar: where that is away, or has no lease to give, it
// loads directly. An error of load reaches the caller who ran it, unless a stale value is at hand, which is returned then.
// What cannot be decoded is loaded anew.
func GetOrLoad[T any](ctx context.Context, c *Client, key string, ttl time.Duration,
	load func(context.Context) (T, error)) (T, error) {
	return GetOrLoadWith(ctx, c, key, LoadOptions[T]{TTL: ttl}, load)
}

// GetOrLoadWith is GetOrLoad with all its options.
func GetOrLoadWith[T any](ctx context.Context, c *Client, key string, how LoadOptions[T],
	load func(context.Context) (T, error)) (value T, err error) {
	if how.Codec.Encode == nil {
		how.Codec = MsgPack[T]()
	}
	if how.Wait <= 0 {
		how.Wait = defaultWait
	}
	for _, d := range []time.Duration{how.TTL, how.Grace} {
		if _, err := millis(d); err != nil {
			return value, err // said before anything is loaded
		}
	}
	waiting, cancel := c.withTimeout(ctx, how.Wait)
	entry, lease, err := c.Lease(waiting, key)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return value, context.Cause(ctx)
		}
		return noted(ctx, c, "direct", load)
	}
	if entry != nil {
		if value, err = how.Codec.Decode(entry.Value); err == nil {
			return value, nil
		}
	}
	return loadAndStore(ctx, c, key, how, lease, load)
}

func noted[T any](ctx context.Context, c *Client, status string, load func(context.Context) (T, error)) (T, error) {
	begun := time.Now()
	value, err := load(ctx)
	if err != nil {
		status = "error"
	}
	c.note("load", status, begun)
	return value, err
}

func loadAndStore[T any](ctx context.Context, c *Client, key string, how LoadOptions[T], lease *Lease,
	load func(context.Context) (T, error)) (value T, err error) {
	stored := false
	if lease != nil {
		// Also where load panics.
		defer func() {
			if !stored {
				_, _ = c.Release(context.WithoutCancel(ctx), lease)
			}
		}()
	}
	var data []byte
	if value, err = noted(ctx, c, "ok", load); err == nil {
		data, err = how.Codec.Encode(value)
	}
	if err != nil {
		return instead(c, lease, how, err)
	}
	stored, err = c.Set(context.WithoutCancel(ctx), key, data, how.TTL, WithGrace(how.Grace), WithLease(lease))
	var refused *ReplyError
	if err != nil && !errors.As(err, &refused) && !errors.Is(err, ErrUnavailable) {
		return value, err
	}
	return value, nil // if it was not stored, the next one loads again
}

// The load failed: the stale value, if any.
func instead[T any](c *Client, lease *Lease, how LoadOptions[T], reason error) (value T, err error) {
	if lease == nil || lease.Stale == nil {
		return value, reason
	}
	old, err := how.Codec.Decode(lease.Stale)
	if err != nil {
		return value, reason
	}
	c.note("load", "stale", time.Now())
	return old, nil
}
