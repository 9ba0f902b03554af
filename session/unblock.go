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

// CLIENT UNBLOCK names a client by its id at the proxy. At the server, it is the client's
// dedicated connection that is blocked, and has an id there. The connection asks the server
// for that id, with CLIENT ID, before its first request that may block.

var requestClientID = resp.AppendRequest(nil, [][]byte{[]byte("CLIENT"), []byte("ID")})

// idReceiver is the Receiver of CLIENT ID on a dedicated connection.
type idReceiver struct{ conn *pipeline.Conn }

// Reply is pipeline.Receiver's.
func (r idReceiver) Reply(_ uint32, b []byte, _ bool) { r.conn.ServerID, _ = resp.Int(b) }

// Fail is pipeline.Receiver's: the request behind it fails as well.
func (r idReceiver) Fail(uint32, *pipeline.Failure, []byte) {}

// clientUnblock runs CLIENT UNBLOCK: it looks for the client on all loops, and asks that
// client's server to unblock it.
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
	gatherLoops(s.shared, func(peer *shared, tell func(asked bool)) {
		asked := false
		for _, other := range who.visible(peer.sessions()) {
			switch {
			case other.info.id != uint64(id) || !other.isBlocked():
			case other.shardsWait != nil:
				other.shardsWait.unblock(mode == "ERROR")
				home.loop.Post(func() { s.finish(number, []byte(":1\r\n")) })
				asked = true
			case other.dedicated.conn.ServerID != 0:
				asked = other.sendClientUnblock(&unblockRequest{s: s, number: number, home: home}, mode)
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

// unblockRequest is a CLIENT UNBLOCK, and the Receiver of its reply from a server. It is on the
// loop of the client that is blocked.
type unblockRequest struct {
	s      *session // whose request it is
	number uint32   // of that request
	home   *Worker  // of s, which is on another loop perhaps

	local *pool.Local    // of the blocked client's loop
	conn  *pipeline.Conn // over which the server was asked
}

// sendClientUnblock asks the server to unblock the session's dedicated connection. It reports
// whether the server was asked; if so, r will answer the request. mode is TIMEOUT or ERROR.
func (s *session) sendClientUnblock(r *unblockRequest, mode string) bool {
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
func (r *unblockRequest) Reply(_ uint32, b []byte, _ bool) {
	r.answered(append([]byte(nil), b...), true)
}

// Fail is pipeline.Receiver's.
func (r *unblockRequest) Fail(_ uint32, f *pipeline.Failure, _ []byte) {
	r.answered(f.AppendReply(nil), false)
}

// answered releases the connection, and answers the request on its session's loop.
func (r *unblockRequest) answered(reply []byte, clean bool) {
	r.local.ReleaseDedicated(r.conn, clean)
	r.home.loop.Post(func() { r.s.finish(r.number, reply) })
}
