// Package tlsconn speaks TLS with clients. A handshake blocks, so it has a goroutine
// (Handshakes). From then on a connection is an eventloop.Cipher: the loop that reads and writes
// the socket drives crypto/tls itself, and an idle client costs neither a goroutine nor buffers.
// ADR 0043 says why that works, and what it costs.
//
//	h := tlsconn.NewHandshakes()
//	h.Start(tlsconn.Client{FD: fd, Config: config}, func(r tlsconn.Result) {
//		if r.Err == nil {
//			loop.Post(func() { loop.AttachSocket(r.Socket, handler) })
//		}
//	})
package tlsconn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"ringway/eventloop"
)

// Conn is the server's side of one TLS connection, as an eventloop.Cipher. crypto/tls reads and
// writes through wire.
type Conn struct {
	tls  *tls.Conn
	wire wire
}

// Open implements eventloop.Cipher. It decrypts in place.
func (c *Conn) Open(plain, sealed, out []byte) eventloop.Opened {
	w := &c.wire
	whole, err := wholeRecords(sealed)
	if w.out = out; !c.lend(sealed[:whole]) {
		w.in = sealed[:whole]
	}
	for c.unread() > 0 {
		if cap(plain)-len(plain) < maxPlaintext {
			plain = slices.Grow(plain, maxPlaintext)
		}
		n, rerr := c.tls.Read(plain[len(plain):cap(plain)])
		if plain = plain[:len(plain)+n]; rerr != nil && rerr != error(errWait) {
			err = rerr
			break
		}
	}
	if hand := bufferAt(c.tls, handAt); hand != nil && hand.Len() > maxMessage && err == nil {
		err = errMessage
	}
	o := eventloop.Opened{Plain: plain, Out: w.out, Done: whole, Err: err}
	c.drop()
	w.in, w.out = nil, nil
	return o
}

// Seal implements eventloop.Cipher.
func (c *Conn) Seal(out, plain []byte) ([]byte, error) {
	c.wire.out = out
	_, err := c.tls.Write(plain)
	out, c.wire.out = c.wire.out, nil
	return out, err
}

// End implements eventloop.Cipher.
func (c *Conn) End(out []byte) []byte {
	c.wire.out = out
	c.tls.CloseWrite()
	out, c.wire.out = c.wire.out, nil
	return out
}

// Sizes of TLS records.
const (
	recordHeader  = 5
	maxPlaintext  = 16 << 10
	maxCiphertext = maxPlaintext + 2048
)

// wire is the net.Conn under crypto/tls. While hands are shaken it reads and writes the socket, and
// blocks. Afterwards it keeps what the loop is to write, and has the records that the loop has read unless
// they could be lent. Either way crypto/tls gets whole records only, so that it holds no part of one:
// errWait comes between two records.
type wire struct {
	shaking *shaking // nil once hands are shaken
	in      []byte   // what was read and not taken by crypto/tls
	left    int      // how many bytes of in are the rest of the record that it is taking
	out     []byte   // what it has written, once hands are shaken
}

// errWait says that there is no whole record yet. crypto/tls does not hold on to errors that call
// themselves temporary: it can be called again. TestCryptoTLSForgetsTemporaryErrors holds that.
var errWait = &waitError{}

type waitError struct{}

func (*waitError) Error() string   { return "no whole record yet" }
func (*waitError) Timeout() bool   { return false }
func (*waitError) Temporary() bool { return true }

// maxMessage is the most bytes of a message of TLS itself that may have come in part once hands are shaken.
// The only one that clients send then has five bytes.
const maxMessage = 256

var errMessage = errors.New("tls: message too long")

// errNotTLS says that bytes are not the beginning of a record.
var errNotTLS = errors.New("not TLS")

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	for w.left == 0 {
		size, ok := recordSize(w.in)
		switch {
		case !ok:
			return 0, errNotTLS
		case size > 0 && size <= len(w.in):
			w.left = size
		case w.shaking == nil:
			return 0, errWait
		default:
			b, err := w.shaking.read(w.in)
			if err != nil {
				return 0, err
			}
			w.in = b
		}
	}
	n := copy(p, w.in[:w.left])
	w.in = w.in[n:]
	w.left -= n
	return n, nil
}

// wholeRecords returns how many bytes of b are records that are there completely, and an error if what
// follows them is no record.
func wholeRecords(b []byte) (n int, err error) {
	for {
		size, ok := recordSize(b[n:])
		switch {
		case !ok:
			return n, errNotTLS
		case size == 0 || size > len(b)-n:
			return n, nil
		}
		n += size
	}
}

// recordSize returns how many bytes the record has that b begins with, 0 if b is too short to say.
// It reports false if no record begins so.
func recordSize(b []byte) (size int, ok bool) {
	if len(b) == 0 {
		return 0, true
	}
	const changeCipherSpec, applicationData = 20, 23
	if b[0] < changeCipherSpec || b[0] > applicationData {
		return 0, false
	}
	if len(b) < recordHeader {
		return 0, true
	}
	n := int(b[3])<<8 | int(b[4])
	return recordHeader + n, n <= maxCiphertext
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	if w.shaking != nil {
		return w.shaking.write(p)
	}
	w.out = append(w.out, p...)
	return len(p), nil
}

// The rest of net.Conn. crypto/tls sets a deadline for its last record, which never waits here.

func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return nowhere{} }
func (w *wire) RemoteAddr() net.Addr             { return nowhere{} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

type nowhere struct{}

func (nowhere) Network() string { return "tcp" }
func (nowhere) String() string  { return "client" }

// Reason is why a handshake has failed.
type Reason uint8

// The reasons.
const (
	Timeout           Reason = iota // it took too long
	NotTLS                          // the client speaks something else
	Closed                          // the client has left, or the process is about to
	RefusedByClient                 // it does not trust our certificate, say
	ClientCertificate               // it has none, or one that is not valid
	Protocol                        // no version or cipher in common, or a mistake
	Reasons                         // how many there are
)

// String returns the reason in a word, as metrics name it.
func (r Reason) String() string {
	return [...]string{"timeout", "not_tls", "closed", "refused_by_client", "client_certificate", "protocol"}[r]
}

// ReasonOf returns why a handshake has failed with err.
func ReasonOf(err error) Reason {
	var certificate *tls.CertificateVerificationError
	var remote *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.Is(err, errNotTLS), errors.As(err, new(tls.RecordHeaderError)):
		return NotTLS
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), eventloop.IsOrderly(err), errors.Is(err, os.ErrClosed):
		return Closed
	case errors.As(err, &remote) && remote.Op == "remote error":
		return RefusedByClient
	case errors.As(err, &certificate), err.Error() == noCertificate:
		return ClientCertificate
	}
	return Protocol
}

// noCertificate is crypto/tls's error when a client has no certificate where one is required.
const noCertificate = "tls: client didn't provide a certificate"
