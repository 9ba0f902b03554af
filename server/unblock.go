package server

import (
	"strconv"
	"strings"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// CLIENT UNBLOCK names a client of the proxy. It is its pinned connection that is
// blocked at a server, which knows that by another number: the connection asks for
// it before the first request that may block.

var requestClientID = resp.AppendRequest(nil, [][]byte{[]byte("CLIENT"), []byte("ID")})

// idReceiver is the Receiver of CLIENT ID on a pinned connection.
type idReceiver struct{ conn *pipeline.Conn }

// Reply is pipeline.Receiver's.
func (r idReceiver) Reply(_ uint32, b []byte, _ bool) { r.conn.ServerID, _ = resp.Int(b) }

// Fail is pipeline.Receiver's. The request behind it fails, too.
func (r idReceiver) Fail(uint32, *pipeline.Failure, []byte) {}

// sendBlocking sends a request that may block over the session's pinned connection,
// behind ASKING if the server is one that its slot is being moved to.
func (s *session) sendBlocking(raw []byte, a *alone, asking bool) *pipeline.Failure {
	conn := s.pin.conn
	if conn.ServerID == 0 {
		if f := conn.Send(requestClientID, idReceiver{conn}, 0); f != nil {
			return f
		}
	}
	if asking {
		// Not as a unit: what may block must not be timed, and ASKING holds for
		// the connection's next request, which is this one.
		a.skip = true
		if f := conn.Send(pool.RequestAsking, a, a.number); f != nil {
			a.skip = false
			return f
		}
	}
	s.waits = s.w.loop.Now()
	return conn.SendPatient(raw, a, a.number)
}

// unblocking is CLIENT UNBLOCK under way.
type unblocking struct {
	s      *session
	number uint32
	left   int  // loops that have yet to tell whether they have the client
	found  bool // one has asked its server
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
	u := &unblocking{s: s, number: s.push(), left: len(s.w.server.workers)}
	name, home, who := s.local.Conf().Name, s.w, s.onlooker()
	for _, w := range s.w.server.workers {
		w.loop.Post(func() {
			asked := false
			for _, peer := range who.sees(w.sessionsOf(name)) {
				if peer.info.id == uint64(id) && peer.isBlocked() && peer.pin.conn.ServerID != 0 {
					asked = w.askToUnblock(u, home, peer, mode)
				}
			}
			home.loop.Post(func() { u.told(asked) })
		})
	}
	return nil
}

// told notes that a loop has looked for the client.
func (u *unblocking) told(asked bool) {
	u.left--
	u.found = u.found || asked
	if u.left == 0 && !u.found {
		u.s.finish(u.number, []byte(":0\r\n"))
	}
}

// unblockAsked is the Receiver of CLIENT UNBLOCK at a server.
type unblockAsked struct {
	u     *unblocking
	home  *worker
	local *pool.Local
	conn  *pipeline.Conn
}

// askToUnblock has a server unblock a session's connection.
func (w *worker) askToUnblock(u *unblocking, home *worker, peer *session, mode string) bool {
	conn, err := peer.local.Lanes(resp.RESP2, 0).Pin(peer.pin.shard)
	if err != nil {
		return false
	}
	request := resp.AppendRequest(nil, [][]byte{
		[]byte("CLIENT"), []byte("UNBLOCK"), strconv.AppendInt(nil, peer.pin.conn.ServerID, 10), []byte(mode),
	})
	r := &unblockAsked{u, home, peer.local, conn}
	if f := conn.Send(request, r, 0); f != nil {
		peer.local.Unpin(conn, false)
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
	r.local.Unpin(r.conn, clean)
	u := r.u
	r.home.loop.Post(func() { u.s.finish(u.number, reply) })
}
