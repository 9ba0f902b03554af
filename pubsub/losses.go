package pubsub

import (
	"sync/atomic"
	"time"
)

// losses counts how often a connection with subscriptions was lost, over all loops.
type losses struct {
	lost   atomic.Int64
	logged atomic.Int64 // when that was last logged, in nanoseconds since the epoch
}

// lossLogInterval is how long further losses are counted and not logged: a server that
// goes away ends connections of all loops.
const lossLogInterval = time.Second

// Lost returns how often a connection with subscriptions was lost. Any goroutine may call
// it.
func (p *Pool) Lost() int64 { return p.lost.Load() }

// missed counts and logs that messages of the server at addr may have been lost; addr is
// "" if none was known.
func (p *Pool) missed(addr string, clients int, why string) {
	total := p.lost.Add(1)
	now, last := time.Now().UnixNano(), p.logged.Load()
	if now-last < int64(lossLogInterval) || !p.logged.CompareAndSwap(last, now) {
		return
	}
	p.log.Warn("subscriptions lost: messages published meanwhile did not reach clients; if the server works, raise its client-output-buffer-limit pubsub, or subscriber_connections; see on_lost_subscription",
		"server", addr, "clients", clients, "on_lost_subscription", p.settings.Proxy().OnLostSubscription, "err", why, "total", total)
}
