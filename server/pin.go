package server

import (
	"errors"

	"ringway/command"
	"ringway/pipeline"
)

// pin is a connection that the session has to itself.
type pin struct {
	server int
	conn   *pipeline.Conn
}

// alone is the Receiver of a request that must be answered before the session's
// next one is run: either of them goes over a pinned connection.
type alone struct {
	s      *session
	number uint32
	done   func() // called before the reply's last part is passed on
}

// hold keeps the session from running further requests until release.
func (s *session) hold()    { s.window = 0 }
func (s *session) release() { s.window = s.w.conf.ClientPipeline }

// next takes the request's place in the line, and holds the session.
func (a *alone) next() (number uint32) {
	a.s.hold()
	a.number = a.s.push()
	return a.number
}

// sent takes what sending came to: a failure if the request was refused.
func (a *alone) sent(f *pipeline.Failure) {
	if f != nil {
		a.Fail(a.number, f, nil)
	}
}

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

// pinFor takes a pinned connection to the server that owns all keys of a request.
// One that the session has already must be to that server.
func (s *session) pinFor(cmd *command.Command, args [][]byte) error {
	server, err := s.owner(cmd, args)
	switch {
	case err != nil:
		return err
	case s.pin != nil && s.pin.server != server:
		return errCrossShard
	case s.pin != nil:
		return nil
	}
	conn, err := s.local.Pin(server, s.protocol)
	if err != nil { // pool.ErrNoPin
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
	a := &alone{s: s}
	if s.pin == nil { // else WATCH has it, and keeps it
		a.done = func() { s.dropPin(true) }
	}
	if err := s.pinFor(cmd, args); err != nil {
		s.replyError(err)
		return true
	}
	a.sent(s.pin.conn.SendPatient(raw, a, a.next()))
	return true
}

// watch runs WATCH. Its keys, and those of an earlier WATCH, must be on one
// shard. Like handle, it reports false if it must wait.
func (s *session) watch(cmd *command.Command, args [][]byte, raw []byte) bool {
	if s.head != s.tail {
		return false
	}
	if err := s.pinFor(cmd, args); err != nil {
		s.replyError(err)
		return true
	}
	a := &alone{s: s}
	a.sent(s.pin.conn.Send(raw, a, a.next()))
	return true
}

// unwatch ends WATCH by giving its connection up: UNWATCH, and DISCARD.
func (s *session) unwatch() { s.dropPin(false) }
