package pipeline

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"ringway/eventloop"
)

// Failure tells why a request got no reply from its server.
type Failure struct {
	Cause error // never nil
	// Sent tells that at least one byte of the request was given to the
	// kernel: the server may have executed it, so it must never be sent again.
	Sent bool
}

// Causes of failures that are not errors of the operating system.
var (
	ErrTimeout   = errors.New("no reply within the timeout")
	ErrProtocol  = errors.New("the server broke the protocol")
	ErrHandshake = errors.New("the server refused the handshake")
	ErrSuspended = errors.New("the server is down")
)

// Refusal is a cause of failures whose text, which begins with a word such as
// ERR, is all that a client gets.
type Refusal string

func (r Refusal) Error() string { return string(r) }

func (f *Failure) Error() string {
	if f.Sent {
		return f.Cause.Error() + " (sent)"
	}
	return f.Cause.Error() + " (not sent)"
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// AppendReply appends the RESP error that a client gets. Its first words are
// those of twemproxy, which are those of strerror; what follows tells apart
// what is safe to repeat from what is not. It names no address.
func (f *Failure) AppendReply(dst []byte) []byte {
	var refusal Refusal
	if errors.As(f.Cause, &refusal) && !f.Sent {
		return append(append(append(dst, '-'), refusal...), "\r\n"...)
	}
	dst = append(dst, "-ERR "...)
	dst = append(dst, describe(f.Cause)...)
	if f.Sent {
		return append(dst, ": the request was sent and its outcome is unknown\r\n"...)
	}
	return append(dst, ": the request was not sent\r\n"...)
}

// AppendPartReply is AppendReply for a request of which only a part failed.
func (f *Failure) AppendPartReply(dst []byte) []byte {
	dst = append(dst, "-ERR "...)
	dst = append(dst, describe(f.Cause)...)
	return append(dst, ": a part of the request failed, other parts may have been executed\r\n"...)
}

// isLocal tells whether a connection attempt failed for want of something on
// this machine, which says nothing about the server.
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
	switch {
	case errors.As(err, &refusal):
		return strings.TrimPrefix(string(refusal), "ERR ")
	case errors.Is(err, ErrTimeout), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return "Connection timed out"
	case errors.Is(err, ErrTurnedAway):
		return "Server takes no more connections of the proxy"
	case errors.Is(err, ErrFence), errors.Is(err, ErrKind):
		return "Protocol error: the server lost count of its replies"
	case errors.Is(err, errFenceState):
		return "Connection given up while the server is busy or loading"
	case errors.Is(err, ErrProtocol):
		return "Protocol error: the server sent an invalid reply"
	case errors.Is(err, ErrHandshake):
		return "Server refused the proxy's AUTH or SELECT"
	case errors.Is(err, ErrSuspended), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return "Connection refused"
	case errors.Is(err, eventloop.ErrTLS):
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
