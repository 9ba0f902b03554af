package topology

import (
	"context"

	"github.com/redis/go-redis/v9"

	"ringway/conf"
)

// A poller observes one server again and again, on a goroutine of its own, since the server
// may hang.
type poller struct {
	conf     *conf.Pool
	addr     string
	interval *pollInterval // shared with the shard's other pollers
	wake     chan struct{} // capacity 1: poll at once
	cancel   context.CancelFunc
}

// pollNow has the server polled at once, or right after the poll under way.
func (p *poller) pollNow() { signal(p.wake) }

// run polls until ctx is done and calls report with each observation. After a failure the next
// poll uses a new connection, for which a host name is resolved again.
func (p *poller) run(ctx context.Context, report func(observation)) {
	var client *redis.Client
	defer func() {
		if client != nil {
			client.Close()
		}
	}()
	for {
		if client == nil {
			client = NewClient(ctx, p.conf, &conf.Server{Network: "tcp", Addr: p.addr})
		}
		o := observe(ctx, client, p.addr)
		if o.err != nil {
			client.Close()
			client = nil
		}
		if ctx.Err() == nil {
			report(o)
		}
		if !p.interval.wait(ctx, p.wake) {
			return
		}
	}
}
