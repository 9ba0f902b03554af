// Command redsync locks through go-redis and redigo.
package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"frameworks/checks"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	gopool "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	redigopool "github.com/go-redsync/redsync/v4/redis/redigo"
	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
)

func main() {
	checks.Version("github.com/go-redsync/redsync/v4")
	checks.Version("github.com/gomodule/redigo")
	pools := map[string]redsyncredis.Pool{
		"go-redis": gopool.NewPool(goredis.NewClient(&goredis.Options{Addr: checks.Addr})),
		"redigo":   redigopool.NewPool(&redis.Pool{Dial: func() (redis.Conn, error) { return redis.Dial("tcp", checks.Addr) }}),
	}
	for _, name := range []string{"go-redis", "redigo"} {
		rs := redsync.New(pools[name])
		lock := func(key string, opts ...redsync.Option) *redsync.Mutex { return rs.NewMutex(name+":"+key, opts...) }
		checks.Check(name+", one holder", func() error {
			a := lock("a")
			if err := a.Lock(); err != nil {
				return err
			}
			held := lock("a", redsync.WithTries(1)).Lock() != nil
			ok, err := a.Unlock()
			return checks.All(err, checks.Equal([]bool{held, ok}, []bool{true, true}), lock("a").Lock())
		})
		checks.Check(name+", extension", func() error {
			a := lock("b", redsync.WithExpiry(2*time.Second))
			if err := a.Lock(); err != nil {
				return err
			}
			time.Sleep(time.Second)
			ok, err := a.Extend()
			if err != nil {
				return err
			}
			time.Sleep(1300 * time.Millisecond)
			valid, err := a.Valid()
			return checks.All(err, checks.Equal([]bool{ok, valid}, []bool{true, true}))
		})
		checks.Check(name+", contention", func() error {
			var inside, most, runs atomic.Int32
			var all sync.WaitGroup
			errs := make(chan error, 8)
			for range 8 {
				all.Go(func() {
					m := lock("c", redsync.WithTries(500), redsync.WithRetryDelay(20*time.Millisecond))
					if err := m.LockContext(context.Background()); err != nil {
						errs <- err
						return
					}
					most.Store(max(most.Load(), inside.Add(1)))
					time.Sleep(10 * time.Millisecond)
					inside.Add(-1)
					runs.Add(1)
					m.Unlock()
				})
			}
			all.Wait()
			close(errs)
			return checks.All(<-errs, checks.Equal([]int32{most.Load(), runs.Load()}, []int32{1, 8}))
		})
	}
}
