package session

import (
	"slices"
	"strconv"
	"strings"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// CLIENT UNBLOCK names a client of the proxy. It is its dedicated connection that is
// blocked at a server, which knows that by another number: the connection asks for
// it before the first request that may block.

var requestClientID = resp.AppendRequest(nil, [][]byte{[]byte("CLIENT"), []byte("ID")})

// idReceiver is the Receiver of CLIENT ID on a dedicated connection.
type idReceiver struct{ conn *pipeline.Conn }

// Reply is pipeline.Receiver's.
func (r idReceiver) Reply(_ uint32, b []byte, _ bool) { r.conn.ServerID, _ = resp.Int(b) }

// Fail is pipeline.Receiver's. The request behind it fails, too.
func (r idReceiver) Fail(uint32, *pipeline.Failure, []byte) {}

// sendBlocking sends a request that may block over the session's dedicated connection,
// behind ASKING if the server is one that its slot is being moved to.
func (s *session) sendBlocking(raw []byte, a *exclusive, asking bool) *pipeline.Failure {
	conn := s.dedicated.conn
	if conn.ServerID == 0 {
		if f := conn.Send(requestClientID, idReceiver{conn}, 0); f != nil {
			return f
		}
	}
	if asking {
		// Not as a unit: what may block must not be timed, and ASKING holds for
		// the connection's next request, which is this one.
		a.skipAsking = true
		if f := conn.Send(pool.RequestAsking, a, a.number); f != nil {
			a.skipAsking = false
			return f
		}
	}
	s.waits = s.w.loop.Now()
	return conn.SendUntimed(raw, a, a.number)
}

func clientUnblock(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	id, ok := resp.ParseInt(args[2])
	if !ok {
		return resp.AppendError(dst, "ERR value is not an integer or out of range")
	}
	mode := "TIMEOUT"
	if len(args) > 3 {
		if mode = strings.ToUpper(string(args[3])); mode != "TIMEOUT" && mode != "ERROR" || len(args) > 4 {
			return resp.AppendError(dst, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
		}
	}
	number, who, home := s.push(), s.viewer(), s.w
	gather(s.shared, func(peer *shared, tell func(asked bool)) {
		asked := false
		for _, other := range who.sees(peer.sessions()) {
			if other.info.id == uint64(id) && other.isBlocked() && other.dedicated.conn.ServerID != 0 {
				asked = other.askToUnblock(&unblockAsked{s: s, number: number, home: home}, mode)
			}
		}
		tell(asked)
	}, func(asked []bool) {
		if !slices.Contains(asked, true) {
			s.finish(number, []byte(":0\r\n"))
		}
	})
	return nil
}

// unblockAsked is the Receiver of CLIENT UNBLOCK at a server, on the loop of the client
// that is blocked.
type unblockAsked struct {
	s      *session // whose CLIENT UNBLOCK it is
	number uint32   // of that request
	home   *Worker  // of s

	local *pool.Local
	conn  *pipeline.Conn
}

// askToUnblock has a server unblock the session's connection. It reports whether the
// server was asked; if so, r answers.
func (s *session) askToUnblock(r *unblockAsked, mode string) bool {
	conn, err := s.local.ConnSet(resp.RESP2, 0).Acquire(s.dedicated.shard)
	if err != nil {
		return false
	}
	request := resp.AppendRequest(nil, [][]byte{
		[]byte("CLIENT"), []byte("UNBLOCK"), strconv.AppendInt(nil, s.dedicated.conn.ServerID, 10), []byte(mode),
	})
	r.local, r.conn = s.local, conn
	if f := conn.Send(request, r, 0); f != nil {
		s.local.ReleaseDedicated(conn, false)
		return false
	}
	return true
}

// Reply is pipeline.Receiver's.
func (r *unblockAsked) Reply(_ uint32, b []byte, _ bool) { r.answered(append([]byte(nil), b...), true) }

// Fail is pipeline.Receiver's.
func (r *unblockAsked) Fail(_ uint32, f *pipeline.Failure, _ []byte) {
	r.answered(f.AppendReply(nil), false)
}

func (r *unblockAsked) answered(reply []byte, clean bool) {
	r.local.ReleaseDedicated(r.conn, clean)
	r.home.loop.Post(func() { r.s.finish(r.number, reply) })
}
