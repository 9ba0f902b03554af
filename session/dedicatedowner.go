package session

import (
	"strconv"

	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// A connection that watches keys stays with its client when that becomes another
// user, speaks another protocol or selects another database: what goes over it then must
// go as that user, and there.

// dedicatedIsOwn reports whether the dedicated connection, if there is one, is that of the
// session's user, protocol and database. If not it is made so, and the request must wait.
func (s *session) dedicatedIsOwn() bool {
	p := s.dedicated
	if p == nil || p.user == s.user && p.protocol == s.protocol && p.db == s.db {
		return true
	}
	if p.enters {
		return false
	}
	e := &entering{s: s, dedicated: p, user: s.user, protocol: s.protocol, db: s.db}
	var unit []byte
	user := p.user
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
	if p.db != s.db {
		become(nil) // the client may be another user by now than the one who was allowed to
		unit = append(unit, requestSelect(s.db)...)
		e.left++
	}
	become(s.user)
	if p.protocol != s.protocol {
		unit = resp.AppendRequest(unit, [][]byte{[]byte("HELLO"), strconv.AppendInt(nil, int64(s.protocol.Version()), 10)})
		e.left++
	}
	p.enters, p.moved = true, true
	s.awaited++
	if f := p.conn.SendUnit(unit, e.left, e, 0); f != nil {
		e.left = 1
		e.Fail(0, f, nil)
	}
	return false
}

// entering is the Receiver of AUTH, HELLO and SELECT on a dedicated connection.
type entering struct {
	s         *session
	dedicated *dedicated
	user      *pool.User
	protocol  resp.Protocol
	db        int
	left      int
	refused   bool
}

// Reply is pipeline.Receiver's.
func (e *entering) Reply(_ uint32, b []byte, last bool) {
	e.refused = e.refused || len(b) > 0 && b[0] == '-'
	if last {
		e.answered()
	}
}

// Fail is pipeline.Receiver's.
func (e *entering) Fail(uint32, *pipeline.Failure, []byte) {
	e.refused = true
	e.answered()
}

// answered has the session go on. A connection that is still somebody else's is ended:
// then what it watches may have changed.
func (e *entering) answered() {
	if e.left--; e.left > 0 {
		return
	}
	e.dedicated.enters, e.dedicated.user, e.dedicated.protocol, e.dedicated.db = false, e.user, e.protocol, e.db
	e.s.awaited--
	if e.refused {
		e.dedicated.conn.Suspend()
	}
	e.s.settle()
}
