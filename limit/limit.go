// Package limit bounds what clients of a pool may use: the pool as a whole, each user, and each network.
//
// A Group is who has a limit, over all event loops. Its rates are kept as one number that goes with the
// clock (bucket), and a loop takes from it for some milliseconds at a time (Share): a request touches
// nothing that loops share.
//
//	groups := limit.NewPool(settings)
//	network := groups.Network(addr)       // in the goroutine that accepts
//	share := limit.NewShare(network)      // on a loop, for as long as it has clients of the group
//	n := share.Requests(64)               // how many of 64 may run now
//	share.Charge(n, bytes)
package limit

import (
	"math"
	"sync/atomic"
	"time"
)

// Settings are the limits of a group; 0 is none. They are immutable once used.
type Settings struct {
	Connections    int   // clients at once
	NewConnections int   // clients that come in a second
	Requests       int   // a second
	Bytes          int64 // of requests and replies, a second
	UnderWay       int   // requests without reply at once
	Refuse         bool  // what is too much is refused; default: it waits
}

// BoundsRequests reports whether there is a limit that each request has to be looked at for.
func (s *Settings) BoundsRequests() bool { return s.Requests > 0 || s.Bytes > 0 || s.UnderWay > 0 }

// None reports whether there is no limit at all.
func (s *Settings) None() bool {
	return !s.BoundsRequests() && s.Connections == 0 && s.NewConnections == 0
}

// Kind is what a group is.
type Kind uint8

// The kinds of groups.
const (
	ThePool Kind = iota
	AUser
	ANetwork
	Kinds // how many there are
)

// String returns the kind as metrics name it.
func (k Kind) String() string { return [Kinds]string{"pool", "user", "network"}[k] }

// What is the limit that was reached.
type What uint8

// The limits, by their keys.
const (
	Connections What = iota
	NewConnections
	Requests
	Bytes
	UnderWay
	Whats // how many there are
)

// String returns the limit's key.
func (w What) String() string {
	return [Whats]string{"connections", "new_connections", "requests", "bytes", "under_way"}[w]
}

// Group is those who share limits: all clients of a pool, of one user, or of one network. Any goroutine may
// call its methods.
type Group struct {
	Kind Kind
	Name string // of the user or network; "" of a pool

	pool     *Pool
	settings atomic.Pointer[Settings]
	clients  atomic.Int64
	arrivals bucket
	requests bucket
	bytes    bucket
	underWay atomic.Int64 // slots that loops have taken
	reached  atomic.Int64 // when a limit was reached last, as clock; 0 if the log does not say that it is
}

// Settings returns the group's limits in force.
func (g *Group) Settings() *Settings { return g.settings.Load() }

// Join counts a client of the group, and reports whether there may be one more. With force there may.
func (g *Group) Join(force bool) bool {
	most := int64(g.Settings().Connections)
	for {
		n := g.clients.Load()
		if !force && most > 0 && n >= most {
			return false
		}
		if g.clients.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Leave takes back a Join.
func (g *Group) Leave() { g.clients.Add(-1) }

// Clients returns how many clients have joined.
func (g *Group) Clients() int { return int(g.clients.Load()) }

// Arrive counts a client that comes, and returns how long it has to wait for that.
func (g *Group) Arrive() time.Duration {
	rate := float64(g.Settings().NewConnections)
	if rate == 0 {
		return 0
	}
	g.arrivals.owe(1, rate)
	return max(0, g.arrivals.until(0, rate))
}

// UntilArrival returns how long the next client has to wait until it may come, without counting it.
func (g *Group) UntilArrival() time.Duration {
	rate := float64(g.Settings().NewConnections)
	if rate == 0 {
		return 0
	}
	return max(0, g.arrivals.until(1, rate))
}

// Unarrive takes back an Arrive, of a client that was refused.
func (g *Group) Unarrive() {
	if rate := float64(g.Settings().NewConnections); rate > 0 {
		g.arrivals.giveBack(1, rate)
	}
}

// quietAfter is how long a limit must not have been reached until the log says so.
const quietAfter = 10 * time.Second

// bucket holds tokens that come at a rate, those of a second at most. It may owe some. It is the moment at which it
// was, or will be, empty: tokens are time.
type bucket struct{ at atomic.Int64 } // as clock

// burst is for how long tokens gather that nobody takes.
const burst = time.Second

var began = time.Now()

// clock returns the time that all loops share, unlike that of eventloop.
func clock() int64 { return int64(time.Since(began)) + int64(time.Hour) }

func costOf(n int64, rate float64) int64 {
	return int64(min(float64(n)*float64(time.Second)/rate, math.MaxInt64/4))
}

// take takes up to n tokens, whole ones, and returns how many.
func (b *bucket) take(n int64, rate float64) int64 {
	now := clock()
	for {
		at := b.at.Load()
		from := max(at, now-int64(burst))
		got := min(n, int64(float64(now-from)*rate/float64(time.Second)+1e-6))
		if got <= 0 {
			return 0
		}
		if b.at.CompareAndSwap(at, from+costOf(got, rate)) {
			return got
		}
	}
}

// owe takes n tokens, whether they are there or not.
func (b *bucket) owe(n int64, rate float64) {
	now := clock()
	for {
		at := b.at.Load()
		next := max(at, now-int64(burst)) + costOf(n, rate)
		if b.at.CompareAndSwap(at, min(next, math.MaxInt64/2)) {
			return
		}
	}
}

// giveBack gives back tokens that were taken and not used.
func (b *bucket) giveBack(n int64, rate float64) { b.at.Add(-costOf(n, rate)) }

// until returns how long it takes until there are n tokens; not positive if there are.
func (b *bucket) until(n int64, rate float64) time.Duration {
	now := clock()
	return time.Duration(max(b.at.Load(), now-int64(burst)) + costOf(n, rate) - now)
}
