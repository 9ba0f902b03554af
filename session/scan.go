package session

import (
	"errors"
	"strconv"

	"ringway/command"
	"ringway/join"
	"ringway/pipeline"
	"ringway/resp"
)

// SCAN goes from server to server. The client's cursor holds both the server's index and the
// server's own cursor (join.NextCursor, join.ClusterCursor). The index is that in the
// configuration, so ejection renumbers nothing. The proxy keeps no state between two SCANs.

// scan is the Receiver of one SCAN to one server.
type scan struct {
	s      *session
	next   func(own uint64) (cursor uint64, ok bool) // returns the client's cursor for the server's next one
	begun  bool                                      // a part of the reply has been passed on
	broken bool                                      // the client has got an error, and the rest is dropped
}

var (
	errCursor    = errors.New("ERR invalid cursor")
	errScanRange = errors.New("ERR a server's SCAN cursor is too large to tell the server with it; scan the servers one by one")
)

// scan runs SCAN. Like handle, it reports false if the request must wait.
func (s *session) scan(cmd *command.Command, args [][]byte, raw []byte) bool {
	m := s.local.Map()
	slotted := m.Slotted()
	if s.local.Shards() == 1 && !slotted {
		return s.send(0, raw)
	}
	servers := s.local.Shards()
	cursor, ok := join.ParseCursor(args[1])
	if !ok {
		s.replyError(errCursor)
		return true
	}
	only, prefix := scanShardOf(m, cmd, args)
	if slotted {
		return s.scanCluster(args, cursor, only, prefix)
	}
	server, own := join.SplitCursor(cursor, servers)
	done := false
	if only >= 0 {
		server, own, done = nextOf(only, server, own)
	}
	for only < 0 && server < servers && s.local.Absent(server) {
		// An ejected server's keys are unreachable for everybody.
		server, own = server+1, 0
	}
	if done || server >= servers {
		s.reply(join.AppendEmptyScan(s.w.scratch[:0], 0))
		return true
	}
	conn := s.primaryConn(server)
	if conn.Full() {
		s.await(conn)
		return false
	}
	s.sendScan(conn, args, own, s.push(), func(own uint64) (uint64, bool) {
		if only >= 0 && own == 0 {
			return 0, true
		}
		return join.NextCursor(own, server, servers)
	})
	return true
}

// sendScan sends SCAN to one server. own is the server's cursor. next returns the client's
// cursor for the server's next one; it reports false if that is too large to be combined.
// args are valid only during the call.
func (s *session) sendScan(conn *pipeline.Conn, args [][]byte, own uint64, number uint32, next func(own uint64) (cursor uint64, ok bool)) {
	request := append([][]byte{args[0], strconv.AppendUint(nil, own, 10)}, args[2:]...)
	if f := conn.Send(resp.AppendRequest(nil, request), &scan{s: s, next: next}, number); f != nil {
		s.finish(number, s.failureReply(f))
	}
}

// Reply is pipeline.Receiver's. It replaces the server's cursor by the client's. The cursor
// is at the beginning of a reply, so it is in the first part of a large one.
func (sc *scan) Reply(number uint32, b []byte, last bool) {
	s := sc.s
	switch {
	case sc.broken:
		return
	case sc.begun || b[0] == '-':
	default:
		cursor, rest, ok := join.SplitScan(b)
		if ok {
			if cursor, ok = sc.next(cursor); !ok {
				sc.fail(number, errScanRange)
				return
			}
		}
		if !ok {
			sc.broken = true
			s.finish(number, replyUnexpected)
			return
		}
		s.Reply(number, join.AppendScan(s.w.failure[:0], cursor), false)
		b = rest
	}
	sc.begun = true
	s.Reply(number, b, last)
}

// fail answers the request with an error.
func (sc *scan) fail(number uint32, err error) {
	sc.broken = true
	sc.s.finish(number, resp.AppendError(nil, err.Error()))
}

// Fail is pipeline.Receiver's. The request is not sent elsewhere: no other server can go on
// with the scan.
func (sc *scan) Fail(number uint32, f *pipeline.Failure, _ []byte) {
	if !sc.broken {
		sc.s.Fail(number, f, nil)
	}
}
