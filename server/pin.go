package server

import (
	"errors"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// pin is a connection that the session has to itself.
type pin struct {
	server int
	conn   *pipeline.Conn
}

// alone is the Receiver of a request that must be answered before the session's
// next one is run: either of them goes over a pinned connection.
type alone struct {
	s    *session
	done func() // called before the reply's last part is passed on
}

// hold keeps the session from running further requests until release.
func (s *session) hold()    { s.window = 0 }
func (s *session) release() { s.window = s.w.conf.ClientPipeline }

// Reply is pipeline.Receiver's.
func (a *alone) Reply(number uint32, b []byte, last bool) {
	if !a.s.conn.Open() {
		return // gone has seen to the pin
	}
	if last {
		a.end()
	}
	a.s.Reply(number, b, last)
}

// Fail is pipeline.Receiver's.
func (a *alone) Fail(number uint32, f *pipeline.Failure, _ []byte) {
	if !a.s.conn.Open() {
		return
	}
	a.end()
	a.s.Fail(number, f, nil) // never sent elsewhere: the pin would not be there
}

func (a *alone) end() {
	a.s.release()
	if a.s.blocked || a.s.eof {
		a.s.settle()
	}
	if a.done != nil {
		a.done()
	}
}

var errNoPin = errors.New("ERR no connection is left for blocking commands and WATCH; try again, or raise pinned_connections")

// takePin pins a connection to a server, if the session has none.
func (s *session) takePin(server int) error {
	if s.pin != nil {
		return nil
	}
	conn, err := s.local.Pin(server, s.protocol)
	if errors.Is(err, pool.ErrNoPin) {
		return errNoPin
	}
	s.pin = &pin{server: server, conn: conn}
	return nil
}

// dropPin gives the pinned connection back, if there is one. It is clean if the
// server holds no state for it any more.
func (s *session) dropPin(clean bool) {
	if p := s.pin; p != nil {
		s.pin = nil
		s.local.Unpin(p.server, p.conn, clean)
	}
}

// block runs a request that may block, over a connection of its own. Like
// handle, it reports false if the request must wait.
func (s *session) block(cmd *command.Command, args [][]byte, raw []byte) bool {
	if s.head != s.tail {
		return false // what came before must be done before
	}
	server, err := s.owner(cmd, args)
	watching := s.pin != nil
	switch {
	case err != nil:
	case watching && s.pin.server != server:
		err = errCrossShard
	default:
		err = s.takePin(server)
	}
	if err != nil {
		s.replyError(err)
		return true
	}
	number := s.push()
	s.hold()
	done := func() { s.dropPin(true) }
	if watching {
		done = nil
	}
	a := &alone{s: s, done: done}
	if f := s.pin.conn.SendPatient(raw, a, number); f != nil {
		a.Fail(number, f, nil)
	}
	return true
}

// watch runs WATCH. Its keys, and those of an earlier WATCH, must be on one
// shard. Like handle, it reports false if it must wait.
func (s *session) watch(cmd *command.Command, args [][]byte, raw []byte) bool {
	if s.head != s.tail {
		return false
	}
	server, err := s.owner(cmd, args)
	switch {
	case err != nil:
	case s.pin != nil && s.pin.server != server:
		err = errCrossShard
	default:
		err = s.takePin(server)
	}
	if err != nil {
		s.replyError(err)
		return true
	}
	number := s.push()
	s.hold()
	a := &alone{s: s}
	if f := s.pin.conn.Send(raw, a, number); f != nil {
		a.Fail(number, f, nil)
	}
	return true
}

// unwatch ends WATCH by giving its connection up: UNWATCH, and DISCARD.
func (s *session) unwatch() { s.dropPin(false) }

var requestExec = resp.AppendRequest(nil, [][]byte{[]byte("EXEC")})
