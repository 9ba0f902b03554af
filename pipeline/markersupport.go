package pipeline

import (
	"bytes"
	"fmt"
	"sync/atomic"
)

// markerCommand is the command that markers use, and whether the server is known to permit it:
// ECHO, or PING with an argument, which more users may send.
type markerCommand uint32

const (
	echoUntried markerCommand = iota
	echoWorks
	pingUntried
	pingWorks
	noMarker // both are refused
)

// name returns the command's name, which has four letters; "" for noMarker.
func (m markerCommand) name() string {
	switch {
	case m < pingUntried:
		return "ECHO"
	case m < noMarker:
		return "PING"
	}
	return ""
}

// MarkerSupport is which marker command a server permits one user, and whether it lets connections
// have names. All connections of that user to the server, on all loops, share it. The zero value is
// ready for use: nothing is known yet. Any goroutine may use it.
type MarkerSupport struct {
	state atomic.Uint32

	unnamedUntil atomic.Int64 // CLIENT SETNAME is not tried before, in nanoseconds since 1970
	lostNames    atomic.Int32 // connections in a row that have ended while it was not answered
}

func (m *MarkerSupport) command() markerCommand { return markerCommand(m.state.Load()) }

// Forget returns to the zero value, so that the server is tried again.
func (m *MarkerSupport) Forget() {
	m.state.Store(uint32(echoUntried))
	m.unnamedUntil.Store(0)
	m.lostNames.Store(0)
}

// permitted records that the server has answered a command.
func (m *MarkerSupport) permitted(command markerCommand) {
	if command == echoUntried || command == pingUntried {
		m.state.CompareAndSwap(uint32(command), uint32(command+1))
	}
}

// refused records that the server refuses a command. It reports whether this was not known before.
func (m *MarkerSupport) refused(command markerCommand) (news bool) {
	next := pingUntried
	if command >= pingUntried {
		next = noMarker
	}
	for {
		now := m.command()
		if now.name() != command.name() {
			return false
		}
		if m.state.CompareAndSwap(uint32(now), uint32(next)) {
			return true
		}
	}
}

// MarkerError tells an Observer, once for each command, that a server does not permit markers. It
// is no failure: requests go on being sent.
type MarkerError struct {
	Command string // what it refuses: "ECHO" or "PING"
	Instead string // what is used instead; "" if there is nothing left
	Reply   string // what it has said
}

// Error returns the command and the reply.
func (e *MarkerError) Error() string {
	return fmt.Sprintf("the server refuses %s: %s", e.Command, e.Reply)
}

// unknownCommand begins a server's reply to a command that was renamed.
const unknownCommand = "-ERR unknown command"

// refusesMarkerForGood reports whether a reply refuses a marker for as long as the server's
// configuration stays: the user may not send it, or it was renamed.
func refusesMarkerForGood(b []byte) bool {
	return bytes.HasPrefix(b, []byte("-NOPERM ")) || bytes.HasPrefix(b, []byte(unknownCommand))
}
