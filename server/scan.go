package server

import (
	"bytes"
	"errors"
	"math"
	"math/bits"
	"strconv"

	"ringway/pipeline"
	"ringway/resp"
)

// SCAN goes from server to server. The cursor that a client sees holds both the
// server's index and the server's own cursor:
//
//	client's = server's * servers + index
//
// That of a Cluster is another; see clusterCursor.
//
// 0 begins with the first server and, as the last one is done, ends the scan.
// The index is that in the configuration, so that ejection renumbers nothing,
// and no state of a scan is kept here: it may go on over another connection or
// another proxy of the same configuration.

// scan is the Receiver of one SCAN to one server.
type scan struct {
	s      *session
	next   func(own uint64) (cursor uint64, ok bool) // the client's cursor for the server's
	begun  bool                                      // a part of a large reply has been passed on
	broken bool                                      // what came was no reply to SCAN: the rest is dropped
}

var (
	errCursor    = errors.New("ERR invalid cursor")
	errScanRange = errors.New("ERR a server's SCAN cursor is too large to tell the server with it; scan the servers one by one")
)

// scan runs SCAN. Like handle, it reports false if the request must wait.
func (s *session) scan(args [][]byte, raw []byte) bool {
	slotted := s.local.Map().Slotted()
	if s.local.Shards() == 1 && !slotted {
		return s.send(0, raw)
	}
	servers := uint64(s.local.Shards())
	cursor, ok := parseCursor(args[1])
	if !ok {
		s.replyError(errCursor)
		return true
	}
	if slotted {
		return s.scanCluster(args, cursor)
	}
	server, cursor := cursor%servers, cursor/servers
	for server < servers && s.local.Absent(int(server)) {
		// Nobody reaches the keys that are left there.
		server, cursor = server+1, 0
	}
	if server >= servers {
		s.reply([]byte("*2\r\n$1\r\n0\r\n*0\r\n"))
		return true
	}
	conn := s.to(int(server))
	if conn.Full() {
		s.await(conn)
		return false
	}
	own := append([][]byte{args[0], strconv.AppendUint(nil, cursor, 10)}, args[2:]...)
	number := s.push()
	sc := &scan{s: s, next: func(own uint64) (uint64, bool) { return nextCursor(own, int(server), int(servers)) }}
	if f := conn.Send(resp.AppendRequest(nil, own), sc, number); f != nil {
		s.finish(number, f.AppendReply(s.w.failure[:0]))
	}
	return true
}

// Reply is pipeline.Receiver's. The cursor is at a reply's very beginning, so
// it is in the first part of a large one.
func (sc *scan) Reply(number uint32, b []byte, last bool) {
	s := sc.s
	switch {
	case sc.broken:
		return
	case sc.begun || b[0] == '-':
	default:
		cursor, rest, ok := cutScanReply(b)
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
		text := strconv.AppendUint(nil, cursor, 10)
		s.Reply(number, appendBulk(append(s.w.failure[:0], "*2\r\n"...), text), false)
		b = rest
	}
	sc.begun = true
	s.Reply(number, b, last)
}

func (sc *scan) fail(number uint32, err error) {
	sc.broken = true
	sc.s.finish(number, resp.AppendError(nil, err.Error()))
}

// Fail is pipeline.Receiver's. No other server can go on with the scan.
func (sc *scan) Fail(number uint32, f *pipeline.Failure, _ []byte) {
	if !sc.broken {
		sc.s.Fail(number, f, nil)
	}
}

// parseCursor reads a cursor as Redis does, with strtoul: digits, perhaps signed
// and then taken modulo 2^64, up to the first NUL; nothing at all is 0.
func parseCursor(b []byte) (uint64, bool) {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	if len(b) == 0 {
		return 0, true
	}
	negative := b[0] == '-'
	if negative || b[0] == '+' {
		b = b[1:]
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return 0, false
	}
	if negative {
		n = -n
	}
	return n, true
}

// nextCursor returns the cursor for the client that goes on where the server's
// says. It reports false if there is no room for both.
func nextCursor(own uint64, server, servers int) (uint64, bool) {
	if own == 0 {
		return uint64((server + 1) % servers), true
	}
	high, low := bits.Mul64(own, uint64(servers))
	return low + uint64(server), high == 0 && low <= math.MaxUint64-uint64(server)
}

// cutScanReply reads the cursor of a reply to SCAN and returns what follows it.
func cutScanReply(b []byte) (cursor uint64, rest []byte, ok bool) {
	count, head, ok := resp.ArrayLen(b)
	if !ok || count != 2 {
		return 0, nil, false
	}
	n := resp.ElementLen(b[head:])
	if n == 0 || b[head] != '$' {
		return 0, nil, false
	}
	lines := bytes.SplitN(b[head:head+n], []byte("\r\n"), 3)
	if len(lines) != 3 {
		return 0, nil, false
	}
	cursor, err := strconv.ParseUint(string(lines[1]), 10, 64)
	return cursor, b[head+n:], err == nil
}
