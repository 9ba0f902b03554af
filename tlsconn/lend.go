package tlsconn

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// A tls.Conn copies what it reads into a buffer, which it keeps for as long as it lives: up to 33 KiB for
// each client that has ever sent a large record. Instead it is lent the loop's bytes as that buffer, for
// the length of a call. So records are decrypted where they are, and an idle client has no buffer.
// crypto/tls has no way to say so; its fields are looked up by name and type. With a version that has
// others it reads through wire, and keeps its buffers. TestIdleConnectionHoldsNoBuffers holds that this
// version has them.

// The places of tls.Conn's buffers, or -1.
var (
	rawInputAt = bufferIn("rawInput") // records as they are read; decrypted in place
	handAt     = bufferIn("hand")     // messages of handshakes
)

// bufferIn returns the offset of the field of tls.Conn that has a name, if it is a bytes.Buffer.
func bufferIn(name string) int {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	if !ok || f.Type != reflect.TypeFor[bytes.Buffer]() || len(f.Index) != 1 {
		return -1
	}
	return int(f.Offset)
}

// bufferAt returns the buffer at an offset of c, nil if that is -1.
func bufferAt(c *tls.Conn, offset int) *bytes.Buffer {
	if offset < 0 {
		return nil
	}
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), offset))
}

// lend gives the tls.Conn whole records to decrypt in place, and reports whether it could. drop
// takes them back.
func (c *Conn) lend(records []byte) bool {
	raw := bufferAt(c.tls, rawInputAt)
	if raw == nil || raw.Len() > 0 {
		return false
	}
	*raw = *bytes.NewBuffer(records[:len(records):len(records)])
	return true
}

// unread returns how many bytes of the records that it was given the tls.Conn has not read.
func (c *Conn) unread() (n int) {
	if raw := bufferAt(c.tls, rawInputAt); raw != nil {
		n = raw.Len()
	}
	return n + len(c.wire.in)
}

// drop takes the buffers from the tls.Conn. What is still in them, the first part of a message that came
// in several records, moves to a buffer of its own.
func (c *Conn) drop() {
	for _, at := range [...]int{rawInputAt, handAt} {
		if buf := bufferAt(c.tls, at); buf != nil && buf.Cap() > 0 {
			*buf = *bytes.NewBuffer(bytes.Clone(buf.Bytes()))
		}
	}
}
