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

// A closeWatcher keeps an idle connection to a server, so that its end is noticed at once.
// Sentinel closes the connections of all clients of a replica in the same transaction that
// promotes it (SLAVEOF NO ONE, CLIENT KILL TYPE normal), and what the old primary acknowledges
// from then on will be lost. The Sentinel that leads the failover publishes an event earlier,
// but only that one does, and it may be out of the proxy's reach (docs/adr/0020).
type closeWatcher struct {
	conf *conf.Pool
	auth []string
	addr string
}

// The pause between attempts to connect: redialMin at first, doubled up to redialMax.
const (
	redialMin = 20 * time.Millisecond
	redialMax = time.Second
)

// run keeps the connection until ctx is done, and calls closed whenever the server has closed
// a connection that worked.
func (w *closeWatcher) run(ctx context.Context, closed func()) {
	pause := redialMin
	for {
		c, err := dialRaw(ctx, w.conf, w.auth, &conf.Server{Network: "tcp", Addr: w.addr})
		if err == nil {
			began := time.Now()
			if w.waitForClose(c) && ctx.Err() == nil {
				closed()
			}
			c.nc.Close()
			if time.Since(began) > redialMax {
				pause = redialMin
			}
		}
		if !sleep(ctx, pause-rand.N(pause/8), nil, nil) {
			return
		}
		pause = min(2*pause, redialMax)
	}
}

// waitForClose waits until the connection has failed. It reports whether the server closed it;
// a server that has gone silent may hang, and says nothing about its role. It sends PING once
// in a probe_interval: often enough for servers that close idle connections, and to notice
// silence.
func (w *closeWatcher) waitForClose(c *rawConn) bool {
	for {
		c.nc.SetReadDeadline(time.Now().Add(w.conf.ProbeInterval))
		_, err := c.r.Peek(1)
		switch {
		case err == nil:
			return false // it sent something unasked: not a Redis
		case !errors.Is(err, os.ErrDeadlineExceeded):
			var timeout net.Error
			return !(errors.As(err, &timeout) && timeout.Timeout())
		}
		c.nc.SetDeadline(time.Now().Add(w.conf.ConnectTimeout))
		err = c.do("PING")
		var timeout net.Error
		var refused refusal
		switch {
		case errors.As(err, &refused), err == nil: // any answer, even an error, shows that it is up
		case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, errNotStatus):
			return false
		default:
			return true
		}
	}
}
