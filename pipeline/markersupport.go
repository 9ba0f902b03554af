package pipeline

import (
	"bytes"
	"fmt"
	"sync/atomic"
)

// marking is how a server is made to prove that its replies are in order: with an
// ECHO, or a PING with an argument, which more users may send.
type markerCommand uint32

const (
	echoUntried markerCommand = iota
	echoWorks
	pingUntried
	pingWorks
	noMarker // both are refused
)

// word is the command; "" if there is none. Those that there are have four letters.
func (m markerCommand) name() string {
	switch {
	case m < pingUntried:
		return "ECHO"
	case m < noMarker:
		return "PING"
	}
	return ""
}

// Markers is what the connections of one user to one server, on all loops, have
// learnt of what the server permits. The zero value is ready for use, and any
// goroutine may use it.
type MarkerSupport struct{ state atomic.Uint32 }

func (m *MarkerSupport) command() markerCommand { return markerCommand(m.state.Load()) }

// Forget has the server tried again, as one of which nothing is known.
func (m *MarkerSupport) Forget() { m.state.Store(uint32(echoUntried)) }

// works notes that a way is permitted.
func (m *MarkerSupport) permitted(way markerCommand) {
	if way == echoUntried || way == pingUntried {
		m.state.CompareAndSwap(uint32(way), uint32(way+1))
	}
}

// refused notes that a way is not permitted. It reports whether that is news.
func (m *MarkerSupport) refused(way markerCommand) (news bool) {
	next := pingUntried
	if way >= pingUntried {
		next = noMarker
	}
	for {
		now := m.command()
		if now.name() != way.name() {
			return false
		}
		if m.state.CompareAndSwap(uint32(now), uint32(next)) {
			return true
		}
	}
}

// MarkerError tells an Observer, once for each way, that a server does not permit
// markers. It is no failure: everything goes on.
type MarkerError struct {
	Command string // what it refuses: "ECHO" or "PING"
	Instead string // what is used instead; "" if there is nothing left
	Reply   string // what it has said
}

func (e *MarkerError) Error() string {
	return fmt.Sprintf("the server refuses %s: %s", e.Command, e.Reply)
}

// unknownCommand begins what a server says to a command that was renamed.
const unknownCommand = "-ERR unknown command"

// refusesMarkers reports whether a reply refuses a marker for good: the user may not
// send it, or it was renamed.
func refusesMarkerForGood(b []byte) bool {
	return bytes.HasPrefix(b, []byte("-NOPERM ")) || bytes.HasPrefix(b, []byte(unknownCommand))
}
