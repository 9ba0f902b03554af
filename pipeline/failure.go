package pipeline

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"ringway/eventloop"
	"ringway/stats"
	"ringway/tlsrelay"
)

// Failure says why a request got no reply from its server.
type Failure struct {
	Cause error // never nil
	// Sent says that at least one byte of the request was given to the kernel: the server may have
	// executed it, so it must never be sent again.
	Sent bool
	// Server is the server's name for clients, such as "server alpha1"; "" if they do not know it
	// by one. It is never the address, unless that is its name.
	Server string
}

// Outage is the cause of failures at a server that has failed before. errors.Is(o, ErrSuspended)
// holds, and errors.Is does not see Why: a request that was never sent has not timed out because
// others have.
type Outage struct {
	Why   error // the last failure
	Since time.Time
}

// Error returns the text of ErrSuspended and of the last failure.
func (o *Outage) Error() string { return ErrSuspended.Error() + ": " + o.Why.Error() }

// Is reports whether target is ErrSuspended.
func (o *Outage) Is(target error) bool { return target == ErrSuspended }

// Causes of failures that are not errors of the operating system.
var (
	ErrTimeout   = errors.New("no reply within the timeout")
	ErrProtocol  = errors.New("the server broke the protocol")
	ErrHandshake = errors.New("the server refused the handshake")
	ErrSuspended = errors.New("the server is down")
	ErrEjected   = errors.New("ejected by an operator")
)

// Refusal is a cause whose text is all that a client gets. It begins with an error code such as
// ERR.
type Refusal string

// Error returns the text.
func (r Refusal) Error() string { return string(r) }

// Reason returns the kind of the cause, for the statistics.
func (f *Failure) Reason() stats.Failure {
	switch {
	case errors.Is(f.Cause, ErrSuspended):
		return stats.FailedDown
	case errors.Is(f.Cause, ErrTimeout):
		return stats.FailedTimeout
	case errors.Is(f.Cause, ErrProtocol):
		return stats.FailedProtocol
	case errors.Is(f.Cause, ErrHandshake):
		return stats.FailedHandshake
	case f.Sent:
		return stats.FailedLost
	case errors.As(f.Cause, new(Refusal)):
		return stats.FailedOther
	}
	return stats.FailedRefused
}

// Error returns the cause, and whether the request was sent.
func (f *Failure) Error() string {
	if f.Sent {
		return f.Cause.Error() + " (sent)"
	}
	return f.Cause.Error() + " (not sent)"
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// AppendReply appends the RESP error for the client. It begins with twemproxy's words, which are
// strerror's, where they are true. Then come the server's name and since when it is down, and last
// whether the request is safe to repeat.
func (f *Failure) AppendReply(dst []byte) []byte {
	var refusal Refusal
	if errors.As(f.Cause, &refusal) && !f.Sent {
		return append(append(append(dst, '-'), refusal...), "\r\n"...)
	}
	dst = f.appendCause(append(dst, "-ERR "...))
	if f.Sent {
		return append(dst, ": the request was sent and its outcome is unknown\r\n"...)
	}
	return append(dst, ": the request was not sent\r\n"...)
}

// AppendPartReply is AppendReply for a request of which only a part failed.
func (f *Failure) AppendPartReply(dst []byte) []byte {
	dst = f.appendCause(append(dst, "-ERR "...))
	return append(dst, ": a part of the request failed, other parts may have been executed\r\n"...)
}

// appendCause appends what has happened, and at which server.
func (f *Failure) appendCause(dst []byte) []byte {
	var o *Outage
	if !errors.As(f.Cause, &o) {
		dst = append(dst, describe(f.Cause)...)
		switch text := detail(f.Cause); {
		case f.Server != "" && text != "":
			return append(append(append(append(append(dst, " ("...), f.Server...), ", "...), text...), ')')
		case f.Server != "":
			return append(append(append(dst, " ("...), f.Server...), ')')
		}
		return dst
	}
	words, text := describe(o.Why), detail(o.Why)
	if f.Sent && !errors.Is(o.Why, ErrTimeout) {
		// This request was sent: the result of other attempts is not its outcome.
		words, text = "Connection given up", words
	}
	dst = append(append(dst, words...), ": "...)
	dst = append(append(dst, cmp.Or(f.Server, "the server")...), " is down ("...)
	if text != "" {
		dst = append(append(dst, text...), ", "...)
	}
	dst = append(dst, "for "...)
	return append(strconv.AppendFloat(dst, time.Since(o.Since).Seconds(), 'f', 1, 64), " s)"...)
}

// detail returns what describe leaves out and a client may know, "" for nothing.
func detail(err error) string {
	const longest = 100 // bytes of a server's text
	switch {
	case errors.Is(err, ErrTimeout):
		return ErrTimeout.Error()
	case errors.Is(err, ErrHandshake):
		_, said, _ := strings.Cut(err.Error(), ErrHandshake.Error()+": ")
		if len(said) > longest {
			said = said[:longest] + "..."
		}
		return strings.Map(func(c rune) rune {
			if c < ' ' || c == utf8.RuneError {
				return '?'
			}
			return c
		}, said)
	}
	return ""
}

// isLocal reports whether a connection attempt failed for lack of a resource of this machine, which
// says nothing about the server.
func isLocal(err error) bool {
	for _, cause := range []error{eventloop.ErrPanicked, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

func describe(err error) string {
	var dns *net.DNSError
	var refusal Refusal
	var handshake *HandshakeError
	switch {
	case errors.Is(err, ErrEjected):
		return "Ejected by an operator"
	case errors.As(err, &refusal):
		return strings.TrimPrefix(string(refusal), "ERR ")
	case errors.Is(err, ErrTimeout), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return "Connection timed out"
	case errors.Is(err, ErrTurnedAway):
		return "Server takes no more connections of the proxy"
	case errors.Is(err, ErrMarker), errors.Is(err, ErrKind):
		return "Protocol error: the server lost count of its replies"
	case errors.Is(err, errMarkerRefused):
		return "Connection given up while the server is busy or loading"
	case errors.Is(err, ErrProtocol):
		return "Protocol error: the server sent an invalid reply"
	case errors.As(err, &handshake) && handshake.Command == "HELLO":
		return "Server refused the proxy's HELLO"
	case errors.Is(err, ErrHandshake):
		return "Server refused the proxy's AUTH or SELECT"
	case errors.Is(err, ErrSuspended):
		return "Connection given up"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return "Connection refused"
	case errors.Is(err, tlsrelay.ErrTLS):
		return "TLS with the server failed"
	case errors.Is(err, io.EOF):
		return "Connection closed by the server"
	case errors.Is(err, syscall.ECONNRESET):
		return "Connection reset by peer"
	case errors.Is(err, syscall.EPIPE):
		return "Broken pipe"
	case errors.Is(err, eventloop.ErrPanicked):
		return "Internal error of the proxy"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "Too many open files in the proxy"
	case errors.As(err, &dns), errors.Is(err, syscall.EHOSTDOWN):
		return "Host is down"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "No route to host"
	case errors.Is(err, syscall.ENETUNREACH):
		return "Network is unreachable"
	}
	return "Connection to the server failed"
}
