package pipeline

import (
	"bytes"
	"time"

	"ringway/resp"
)

// A connection gives itself a name by CLIENT SETNAME, so that CLIENT LIST at the server tells whose
// it is. The request goes out behind the handshake and before the first request of a client, which
// does not wait for its reply. A server or an ACL that refuses it is remembered.

const (
	// unnamedFor is how long a refusal counts: rules change, and a server keeps a log of what its
	// rules have refused.
	unnamedFor = 10 * time.Minute
	// maxLostNames is how many connections in a row may end before the reply before that counts as a
	// refusal: some programs in front of servers hang up on commands that they do not know.
	maxLostNames = 2
)

// appendName sends CLIENT SETNAME, unless there is no name or it is known to be refused.
func (c *Conn) appendName() {
	if c.cfg.ClientName == "" || !c.support.mayName() {
		return
	}
	request := nameRequest(c.cfg.ClientName)
	c.conn.Append(request)
	c.conn.NotCounted(len(request)) // what operators see is what clients cause
	c.naming = true
	c.handshakeLeft++
}

func nameRequest(name string) []byte {
	return resp.AppendRequest(nil, [][]byte{[]byte("CLIENT"), []byte("SETNAME"), []byte(name)})
}

// mayName reports whether CLIENT SETNAME is to be tried.
func (m *MarkerSupport) mayName() bool { return time.Now().UnixNano() >= m.unnamedUntil.Load() }

// named records the server's answer to CLIENT SETNAME. Errors of the moment, such as -BUSY, are no refusal: that
// connection has no name.
func (m *MarkerSupport) named(reply []byte) {
	m.lostNames.Store(0)
	if bytes.HasPrefix(reply, []byte("-NOPERM ")) || bytes.HasPrefix(reply, []byte("-ERR ")) {
		m.refuseName()
	}
}

// lostName records that a connection has ended before CLIENT SETNAME was answered.
func (m *MarkerSupport) lostName() {
	if m.lostNames.Add(1) >= maxLostNames {
		m.refuseName()
	}
}

func (m *MarkerSupport) refuseName() { m.unnamedUntil.Store(time.Now().Add(unnamedFor).UnixNano()) }
