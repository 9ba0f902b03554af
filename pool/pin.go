package pool

import (
	"errors"

	"ringway/pipeline"
	"ringway/resp"
)

// ErrNoPin tells that all connections that clients may have to themselves are
// in use.
var ErrNoPin = errors.New("pool: no pinned connection left")

// sparePins is how many pinned connections to one server a loop keeps for the
// next client.
const sparePins = 4

// Pin lends a connection to a server to one client alone, until Unpin. Its
// replies are in the given protocol. It ends for good when it is lost.
func (l *Local) Pin(server int, protocol resp.Protocol) (*pipeline.Conn, error) {
	for spare := &l.pins[protocol][server]; len(*spare) > 0; {
		last := len(*spare) - 1
		c := (*spare)[last]
		*spare = (*spare)[:last]
		if c.Up() {
			l.lent[c] = server
			return c, nil
		}
		l.pinned.Add(-1)
	}
	if l.pinned.Add(1) > int64(l.conf.PinnedConnections) {
		l.pinned.Add(-1)
		return nil, ErrNoPin
	}
	s := l.servers[server]
	c := pipeline.New(l.loop, &s.pins[protocol], s)
	if l.IsDown(server) {
		c.Suspend()
	}
	l.lent[c] = server
	return c, nil
}

// Unpin gives a connection back. If nothing is under way on it and the server
// has forgotten its client, clean, it may be lent again; else it is closed.
func (l *Local) Unpin(server int, c *pipeline.Conn, clean bool) {
	delete(l.lent, c)
	spare := &l.pins[c.Protocol()][server]
	if clean && c.Up() && c.InFlight() == 0 && len(*spare) < sparePins {
		*spare = append(*spare, c)
		return
	}
	c.Close()
	l.pinned.Add(-1)
}
