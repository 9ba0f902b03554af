package session

import (
	"slices"
	"strings"
	"time"

	"ringway/command"
	"ringway/resp"
)

// A client that has sent CLIENT MAINT_NOTIFICATIONS ON is told of what is about to happen to its connection, by pushes in
// RESP3: MOVING before the connection is closed, so that it makes another one first, and FAILING_OVER and FAILED_OVER
// while requests wait for a primary, so that it is more patient. Such clients are go-redis since 9.16, redis-py, Lettuce.
//
// A push comes between two replies, never inside one (sendOutOfBand).

// movingGrace is how long a client's connection is kept after the moment at which it was told to make another one.
const movingGrace = time.Second

// reconnectSoon is when clients are to connect again if another process, or pool, is there for them already.
const reconnectSoon = time.Second

// endpointTypes are the words for what a client wants to be told of where to connect. They make no difference: the
// answer is always "the same address".
var endpointTypes = []string{"internal-ip", "internal-fqdn", "external-ip", "external-fqdn", "none"}

// clientMaintNotifications runs CLIENT MAINT_NOTIFICATIONS ON [MOVING-ENDPOINT-TYPE type], or OFF.
func clientMaintNotifications(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	word := func(i int) string { return strings.ToLower(string(args[i])) }
	switch {
	case word(2) == "off" && len(args) == 3:
		s.notices = false
		return append(dst, replyOK...)
	case word(2) != "on", len(args) != 3 && (len(args) != 5 || word(3) != "moving-endpoint-type" || !slices.Contains(endpointTypes, word(4))):
		return resp.AppendError(dst, "ERR syntax error")
	case s.protocol != resp.RESP3:
		return resp.AppendError(dst, "ERR CLIENT MAINT_NOTIFICATIONS needs RESP3: send HELLO 3 first")
	}
	s.notices = true
	return append(dst, replyOK...)
}

// isNoticing reports whether the session's client can be told something now.
func (s *session) isNoticing() bool {
	return s.notices && s.protocol == resp.RESP3 && s.conn.Open() && !s.closing && (s.sub == nil || s.sub.cut == nil || !s.sub.cut.given)
}

// notify sends the client a notification. fields are what comes behind its number, encoded; n is how many they are.
func (s *session) notify(name string, n int, fields []byte) {
	s.w.notification++
	frame := resp.AppendBulkString(s.protocol.AppendPush(nil, 2+n), name)
	s.sendOutOfBand(append(resp.AppendInt(frame, s.w.notification), fields...))
}

// tellMoving tells the client, once, to connect again to the same address in a time, rounded up to seconds. It reports whether
// the client has been told, now or before.
//
// The time in the push is twice that: clients connect again when half of it is over.
func (s *session) tellMoving(in time.Duration) bool {
	if s.movingUntil == 0 && s.isNoticing() {
		seconds := max(0, int64((in+time.Second-1)/time.Second))
		s.movingUntil = s.w.loop.Now() + seconds*int64(time.Second) + int64(movingGrace)
		s.notify("MOVING", 2, s.protocol.AppendNull(resp.AppendInt(nil, 2*seconds)))
	}
	return s.movingUntil != 0
}

// tellLeaving tells clients that the process will end: they are to connect again when drain_delay is over, one after
// the other. Those that have come since are told at the next tick.
func (w *Worker) tellLeaving() {
	if w.leavingIn <= 0 || w.draining {
		return // nobody else is there yet
	}
	delay := w.leavingIn - time.Since(w.leaving)
	each := w.leavingOver / time.Duration(max(1, len(w.sessions)))
	for i := len(w.sessions) - 1; i >= 0; i-- { // backwards: one whose client does not read may be closed
		w.sessions[i].tellMoving(delay + each*time.Duration(i))
	}
}

// followFailover tells the pool's clients when requests begin to wait for a primary, and when none does any more.
func (sh *shared) followFailover() {
	if waits := sh.local.Follows() && sh.local.Holding(); waits != sh.failingOver {
		sh.failingOver = waits
		for _, s := range sh.sessions() {
			s.tellFailover(waits)
		}
	}
}

// tellFailover tells the client that a failover has begun, or has ended. The second only comes after the first.
func (s *session) tellFailover(begins bool) {
	if begins == s.toldFailover || !s.isNoticing() {
		return
	}
	s.toldFailover = begins
	shards := resp.AppendArray(nil, 0) // clients know of none
	if begins {
		s.notify("FAILING_OVER", 2, append(resp.AppendInt(nil, int64(s.local.Conf().FailoverWait/time.Second)), shards...))
	} else {
		s.notify("FAILED_OVER", 1, shards)
	}
}
