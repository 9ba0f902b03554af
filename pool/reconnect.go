package pool

import (
	"slices"
	"time"

	"ringway/eventloop"
	"ringway/pipeline"
)

// reconnectLook is how often Reconnect looks whether a connection is there again.
const reconnectLook = time.Millisecond

// Reconnect makes the loop's shared connections to the server at an address anew, one after the other,
// without a failed request (see pipeline.Conn's Renew), and calls done with their number. Dedicated
// connections that nobody has are closed, others when their clients give them back. Connections with
// subscriptions stay.
func (l *Local) Reconnect(addr string, done func(n int)) {
	for c := range l.lent {
		if c.Addr() == addr {
			c.Renew()
		}
	}
	l.closeSpares(func(_ dedicatedKey, s spare) bool { return s.conn.Addr() == addr })
	var conns []*pipeline.Conn
	for _, cs := range l.connSets {
		for _, c := range cs.all() {
			if c.Addr() == addr && c.Connected() && !slices.Contains(conns, c) {
				conns = append(conns, c)
			}
		}
	}
	if c := l.login.conn; c != nil && c.Addr() == addr {
		c.Renew()
	}
	l.renewNext(conns, 0, done)
}

// renewNext makes conns[i] and those behind it anew.
func (l *Local) renewNext(conns []*pipeline.Conn, i int, done func(n int)) {
	if i == len(conns) {
		done(len(conns))
		return
	}
	c := conns[i]
	c.Renew()
	var timer *eventloop.Timer
	timer = l.loop.NewTimer(func() {
		if c.Renewing() || c.Up() && !c.Connected() {
			timer.After(reconnectLook)
			return
		}
		l.renewNext(conns, i+1, done)
	})
	timer.After(reconnectLook)
}
