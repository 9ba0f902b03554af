// Command goredis does what an application does with go-redis.
package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"frameworks/checks"

	"github.com/redis/go-redis/v9"
)

func main() {
	checks.Version("github.com/redis/go-redis/v9")
	ctx := context.Background()
	for _, protocol := range []int{2, 3} {
		c := redis.NewClient(&redis.Options{Addr: checks.Addr, Protocol: protocol})
		name := func(s string) string { return fmt.Sprintf("RESP%d, %s", protocol, s) }
		key := func(s string) string { return fmt.Sprintf("%d:%s", protocol, s) }

		checks.Check(name("commands"), func() error {
			c.HSet(ctx, key("h"), "a", 1, "b", 2)
			c.ZAdd(ctx, key("z"), redis.Z{Score: 1.5, Member: "x"})
			return checks.All(checks.Equal(c.Set(ctx, key("a"), 1, time.Minute).Val(), "OK"), checks.Equal(c.Get(ctx, key("none")).Err(), redis.Nil),
				checks.Equal(c.HGetAll(ctx, key("h")).Val(), map[string]string{"a": "1", "b": "2"}),
				checks.Equal(c.ZRangeWithScores(ctx, key("z"), 0, -1).Val(), []redis.Z{{Score: 1.5, Member: "x"}}))
		})
		checks.Check(name("mset, mget, del"), func() error {
			var pairs []any
			var keys []string
			for i := range 30 {
				pairs, keys = append(pairs, key("m"+strconv.Itoa(i)), i), append(keys, key("m"+strconv.Itoa(i)))
			}
			return checks.All(c.MSet(ctx, pairs...).Err(), checks.Equal(c.MGet(ctx, keys...).Val()[29], any("29")), checks.Equal(c.Del(ctx, keys...).Val(), int64(30)))
		})
		checks.Check(name("pipeline"), func() error {
			replies, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i := range 100 {
					p.Set(ctx, key("p"+strconv.Itoa(i)), i, 0)
				}
				return nil
			})
			return checks.All(err, checks.Equal(len(replies), 100))
		})
		checks.Check(name("TxPipelined on one key"), func() error {
			var n *redis.IntCmd
			_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Set(ctx, key("t"), 1, 0); n = p.Incr(ctx, key("t")); return nil })
			return checks.All(err, checks.Equal(n.Val(), int64(2)))
		})
		checks.Check(name("TxPipelined on several keys"), func() error {
			_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
				for i := range 10 {
					p.Set(ctx, key("tx"+strconv.Itoa(i)), i, 0)
				}
				return nil
			})
			return err
		})
		checks.Check(name("WATCH"), func() error {
			err := c.Watch(ctx, func(tx *redis.Tx) error {
				c.Set(ctx, key("w"), "other", 0)
				_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Set(ctx, key("w"), "mine", 0); return nil })
				return err
			}, key("w"))
			return checks.Equal(errors.Is(err, redis.TxFailedErr), true)
		})
		checks.Check(name("scripts"), func() error {
			s := redis.NewScript(`return redis.call("incrby", KEYS[1], ARGV[1])`)
			first := s.Run(ctx, c, []string{key("s")}, 5).Val()
			c.ScriptFlush(ctx)
			return checks.All(checks.Equal(first, any(int64(5))), checks.Equal(s.Run(ctx, c, []string{key("s")}, 5).Val(), any(int64(10))))
		})
		checks.Check(name("Pub/Sub"), func() error {
			sub := c.Subscribe(ctx, key("news"), key("sport"))
			defer sub.Close()
			pattern := c.PSubscribe(ctx, key("w*"))
			defer pattern.Close()
			for _, s := range []*redis.PubSub{sub, sub, pattern} {
				if _, err := s.Receive(ctx); err != nil {
					return err
				}
			}
			n := c.Publish(ctx, key("sport"), "hi").Val() + c.Publish(ctx, key("weather"), "rain").Val()
			return checks.All(checks.Equal(n, int64(2)), checks.Equal((<-sub.Channel()).Payload, "hi"), checks.Equal((<-pattern.Channel()).Payload, "rain"))
		})
		checks.Check(name("blocking pop of several keys"), func() error {
			got := make(chan []string, 1)
			go func() { got <- c.BRPop(ctx, 10*time.Second, key("q1"), key("q2"), key("q3"), key("q4")).Val() }()
			time.Sleep(50 * time.Millisecond)
			c.LPush(ctx, key("q3"), "job")
			return checks.Equal(<-got, []string{key("q3"), "job"})
		})
		checks.Check(name("streams"), func() error {
			c.XGroupCreateMkStream(ctx, key("st"), "g", "$")
			id := c.XAdd(ctx, &redis.XAddArgs{Stream: key("st"), Values: []string{"k", "v"}}).Val()
			got, err := c.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "me", Streams: []string{key("st"), ">"}, Block: time.Second}).Result()
			return checks.All(err, checks.Equal(got[0].Messages[0].ID, id), checks.Equal(c.XAck(ctx, key("st"), "g", id).Val(), int64(1)))
		})
		checks.Check(name("scan"), func() error {
			n := 0
			for it := c.Scan(ctx, 0, key("p*"), 10).Iterator(); it.Next(ctx); {
				n++
			}
			return checks.Equal(n, 100)
		})
		checks.Check(name("pool under load"), func() error {
			errs := make(chan error, 20)
			for range 20 {
				go func() {
					var err error
					for range 50 {
						err = errors.Join(err, c.Incr(ctx, key("n")).Err())
					}
					errs <- err
				}()
			}
			var err error
			for range 20 {
				err = errors.Join(err, <-errs)
			}
			return checks.All(err, checks.Equal(c.Get(ctx, key("n")).Val(), "1000"))
		})
		c.Close()
	}
}
