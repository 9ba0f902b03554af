package topology

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"ringway/conf"
)

// A vigil is a connection to a server that asks nothing but whether it is there,
// and whose end is noticed at once. Sentinel ends the connections of all clients of
// a replica in the same transaction that makes it a primary: what the old primary
// acknowledges from then on will be lost. Only the Sentinel that leads the failover
// tells of it earlier, and that one may be out of reach.
type vigil struct {
	conf *conf.Pool
	auth []string
	addr string
}

// How long a vigil rests between attempts to connect, at least and at most.
const (
	vigilLeast = 20 * time.Millisecond
	vigilMost  = time.Second
)

// keep keeps it until ctx is done. It calls ended whenever the server has ended a
// connection that was well.
func (v *vigil) keep(ctx context.Context, ended func()) {
	rest := vigilLeast
	for {
		c, err := dial(ctx, v.conf, v.auth, &conf.Server{Network: "tcp", Addr: v.addr})
		if err == nil {
			began := time.Now()
			if v.wasEnded(c) && ctx.Err() == nil {
				ended()
			}
			c.nc.Close()
			if time.Since(began) > vigilMost {
				rest = vigilLeast
			}
		}
		if !sleep(ctx, rest-rand.N(rest/8), nil, nil) {
			return
		}
		rest = min(2*rest, vigilMost)
	}
}

// wasEnded waits for the end of a connection. It reports whether the server has
// ended it: one that has gone silent has said nothing.
func (v *vigil) wasEnded(c *call) bool {
	for {
		// Often enough for a server that closes idle connections.
		c.nc.SetReadDeadline(time.Now().Add(v.conf.ProbeInterval))
		_, err := c.r.Peek(1)
		switch {
		case err == nil:
			return false // it talks out of turn
		case !errors.Is(err, os.ErrDeadlineExceeded):
			var timeout net.Error
			return !(errors.As(err, &timeout) && timeout.Timeout())
		}
		c.nc.SetDeadline(time.Now().Add(v.conf.ConnectTimeout))
		err = c.ask("PING")
		var timeout net.Error
		var says refusal
		switch {
		case errors.As(err, &says), err == nil: // it is there, whatever it says
		case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, errOddReply):
			return false
		default:
			return true
		}
	}
}
