package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// The traffic of MakeTraffic: trafficClients clients that each make a request every trafficPause.
const (
	trafficClients = 5
	trafficPause   = 10 * time.Millisecond
	trafficKeys    = 1000 // few of them are asked for often, as in most caches
)

// MakeTraffic makes a few hundred requests a second to the proxy at addr, host:port or the path of a
// unix socket, until ctx is done. Some are errors, as in real traffic.
func MakeTraffic(ctx context.Context, addr string) {
	client := redis.NewClient(&redis.Options{
		Addr: addr, DisableIdentity: true, MaxRetries: -1, PoolSize: trafficClients,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer client.Close()
	var all sync.WaitGroup
	for range trafficClients {
		all.Go(func() {
			tick := time.NewTicker(trafficPause)
			defer tick.Stop()
			keys := rand.NewZipf(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), 1.2, 4, trafficKeys-1)
			for {
				select {
				case <-tick.C:
					oneRequest(ctx, client, keys.Uint64())
				case <-ctx.Done():
					return
				}
			}
		})
	}
	all.Wait()
}

// oneRequest asks for something about a key. Errors are part of what there is to see.
func oneRequest(ctx context.Context, client *redis.Client, key uint64) {
	name := fmt.Sprint("user:", key)
	switch n := rand.IntN(1000); {
	case n < 650:
		client.Get(ctx, name)
	case n < 850:
		client.Set(ctx, name, strings.Repeat("x", 10+int(key)%500), time.Hour)
	case n < 920:
		client.MGet(ctx, name, fmt.Sprint("user:", rand.IntN(trafficKeys)), fmt.Sprint("user:", rand.IntN(trafficKeys)))
	case n < 960:
		client.Incr(ctx, fmt.Sprint("visits:", key))
	case n < 998:
		client.HIncrBy(ctx, fmt.Sprint("cart:", key), "items", 1)
	default:
		client.LPush(ctx, name, "a user is no list")
	}
}
