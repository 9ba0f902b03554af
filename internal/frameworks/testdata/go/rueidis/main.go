// Command rueidis does what an application does with rueidis: pipelining by itself,
// client-side caching, locks.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"frameworks/checks"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

var ctx = context.Background()

func client() rueidis.Client {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{checks.Addr}, ForceSingleClient: true})
	if err != nil {
		panic(err)
	}
	return c
}

func main() {
	checks.Version("github.com/redis/rueidis")
	var a, b rueidis.Client
	checks.Check("connects", func() error { a, b = client(), client(); return nil })
	set := func(k, v string) error { return b.Do(ctx, b.B().Set().Key(k).Value(v).Build()).Error() }
	cached := func(k string) rueidis.RedisResult { return a.DoCache(ctx, a.B().Get().Key(k).Cache(), time.Minute) }

	checks.Check("DoMulti", func() error {
		var cmds rueidis.Commands
		for i := range 100 {
			cmds = append(cmds, a.B().Set().Key(fmt.Sprint("k", i)).Value(fmt.Sprint(i)).Build())
		}
		for _, r := range a.DoMulti(ctx, cmds...) {
			if r.Error() != nil {
				return r.Error()
			}
		}
		v, err := a.Do(ctx, a.B().Get().Key("k99").Build()).ToString()
		return checks.All(err, checks.Equal(v, "99"))
	})
	checks.Check("DoCache", func() error {
		if err := set("c", "1"); err != nil {
			return err
		}
		cached("c")
		r := cached("c")
		v, _ := r.ToString()
		if err := checks.All(checks.Equal(v, "1"), checks.Equal(r.IsCacheHit(), true), set("c", "2")); err != nil {
			return err
		}
		return checks.Until("the new value", func() bool { v, _ := cached("c").ToString(); return v == "2" })
	})
	checks.Check("MGetCache", func() error {
		got, err := rueidis.MGetCache(a, ctx, time.Minute, []string{"k0", "k50", "k99"})
		if err != nil {
			return err
		}
		v := got["k50"]
		s, err := v.ToString()
		return checks.All(err, checks.Equal(s, "50"), checks.Equal(len(got), 3))
	})
	checks.Check("MGetCache in one command", func() error {
		got, err := a.DoCache(ctx, a.B().Mget().Key("k1", "k2", "k3").Cache(), time.Minute).AsStrSlice()
		return checks.All(err, checks.Equal(got, []string{"1", "2", "3"}))
	})
	checks.Check("DoMultiCache", func() error {
		var cmds []rueidis.CacheableTTL
		for i := range 20 {
			cmds = append(cmds, rueidis.CT(a.B().Get().Key(fmt.Sprint("k", i)).Cache(), time.Minute))
		}
		for i, r := range a.DoMultiCache(ctx, cmds...) {
			if v, err := r.ToString(); err != nil || v != fmt.Sprint(i) {
				return fmt.Errorf("%s, %v", v, err)
			}
		}
		return nil
	})
	checks.Check("dedicated client and WATCH", func() error {
		return a.Dedicated(func(c rueidis.DedicatedClient) error {
			c.Do(ctx, c.B().Watch().Key("w").Build())
			if err := set("w", "other"); err != nil {
				return err
			}
			replies := c.DoMulti(ctx, c.B().Multi().Build(), c.B().Set().Key("w").Value("mine").Build(), c.B().Exec().Build())
			_, err := replies[2].ToArray()
			return checks.Equal(rueidis.IsRedisNil(err), true)
		})
	})
	checks.Check("Receive", func() error {
		ctx, cancel := context.WithCancel(ctx)
		got := make(chan string, 10)
		go a.Receive(ctx, a.B().Subscribe().Channel("news", "sport").Build(), func(m rueidis.PubSubMessage) { got <- m.Message })
		defer cancel()
		return checks.All(checks.Until("the subscription", func() bool {
			n, _ := b.Do(ctx, b.B().Publish().Channel("sport").Message("hi").Build()).AsInt64()
			return n > 0
		}), checks.Equal(<-got, "hi"))
	})
	checks.Check("blocking pop of several keys", func() error {
		got := make(chan []string, 1)
		go func() {
			r, _ := a.Do(ctx, a.B().Blpop().Key("q1", "q2", "q3", "q4").Timeout(10).Build()).AsStrSlice()
			got <- r
		}()
		time.Sleep(50 * time.Millisecond)
		b.Do(ctx, b.B().Lpush().Key("q3").Element("job").Build())
		return checks.Equal(<-got, []string{"q3", "job"})
	})
	checks.Check("Lua script", func() error {
		s := rueidis.NewLuaScript(`return redis.call("incrby", KEYS[1], ARGV[1])`)
		n, err := s.Exec(ctx, a, []string{"s"}, []string{"5"}).AsInt64()
		return checks.All(err, checks.Equal(n, int64(5)))
	})
	checks.Check("locks", func() error {
		locker := func() (rueidislock.Locker, error) {
			return rueidislock.NewLocker(rueidislock.LockerOption{ClientOption: rueidis.ClientOption{InitAddress: []string{checks.Addr}, ForceSingleClient: true}, KeyMajority: 2})
		}
		one, err := locker()
		if err != nil {
			return err
		}
		defer one.Close()
		two, err := locker()
		if err != nil {
			return err
		}
		defer two.Close()
		_, release, err := one.WithContext(ctx, "door")
		if err != nil {
			return err
		}
		_, _, again := two.TryWithContext(ctx, "door")
		if err := checks.Equal(errors.Is(again, rueidislock.ErrNotLocked), true); err != nil {
			return err
		}
		entered := make(chan error, 1)
		go func() { _, _, err := two.WithContext(ctx, "door"); entered <- err }()
		release()
		return <-entered
	})
}
