package session

import (
	"strconv"

	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// A dedicated connection with watched keys stays with its client when the client authenticates
// as another user, changes its protocol or selects another database. Before the next request
// goes over it, the connection follows: the proxy sends AUTH, HELLO and SELECT on it.

// dedicatedReady reports whether the dedicated connection, if there is one, has the session's
// user, protocol and database. If not, it sends what changes that; the request must wait.
func (s *session) dedicatedReady() bool {
	return s.dedicated == nil || s.isReady(s.dedicated)
}

// isReady is dedicatedReady for one of several connections with watched keys.
func (s *session) isReady(d *dedicated) bool {
	if d.user == s.user && d.protocol == s.protocol && d.db == s.db {
		return true
	}
	if d.switching {
		return false
	}
	e := &dedicatedSwitch{s: s, dedicated: d, user: s.user, protocol: s.protocol, db: s.db}
	var unit []byte
	user := d.user
	become := func(to *pool.User) {
		if user == to {
			return
		}
		request := [][]byte{[]byte("AUTH")}
		for _, arg := range s.local.Credentials(to) {
			request = append(request, []byte(arg))
		}
		unit = resp.AppendRequest(unit, request)
		e.left++
		user = to
	}
	if d.db != s.db {
		become(nil) // the pool's own user may SELECT; the client's new one perhaps not
		unit = append(unit, requestSelect(s.db)...)
		e.left++
	}
	become(s.user)
	if d.protocol != s.protocol {
		unit = resp.AppendRequest(unit, [][]byte{[]byte("HELLO"), strconv.AppendInt(nil, int64(s.protocol.Version()), 10)})
		e.left++
	}
	d.switching, d.altered = true, true
	s.pendingWakeups++
	if f := d.conn.SendUnit(unit, e.left, e, 0); f != nil {
		e.left = 1
		e.Fail(0, f, nil)
	}
	return false
}

// dedicatedSwitch is the Receiver of AUTH, HELLO and SELECT on a dedicated connection. Its fields
// say what the connection is to become.
type dedicatedSwitch struct {
	s         *session
	dedicated *dedicated
	user      *pool.User
	protocol  resp.Protocol
	db        int
	left      int // replies to come
	refused   bool
}

// Reply implements pipeline.Receiver.
func (e *dedicatedSwitch) Reply(_ uint32, b []byte, last bool) {
	e.refused = e.refused || len(b) > 0 && b[0] == '-'
	if last {
		e.answered()
	}
}

// Fail implements pipeline.Receiver.
func (e *dedicatedSwitch) Fail(uint32, *pipeline.Failure, []byte) {
	e.refused = true
	e.answered()
}

// answered counts a reply. After the last one the session goes on. If the server has refused
// anything, the connection is closed, so that its WATCH fails as if a key had changed.
func (e *dedicatedSwitch) answered() {
	if e.left--; e.left > 0 {
		return
	}
	e.dedicated.switching, e.dedicated.user, e.dedicated.protocol, e.dedicated.db = false, e.user, e.protocol, e.db
	e.s.pendingWakeups--
	if e.refused {
		e.dedicated.conn.Suspend()
	}
	e.s.deferRun()
}
