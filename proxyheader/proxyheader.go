// Package proxyheader reads the header of the PROXY protocol, by which a load balancer tells a server the
// address of the client behind a connection. Both versions are read, as the specification has them
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). Bytes in, an address out: the
// package does no I/O.
package proxyheader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// MaxSize is the longest header that is read, in bytes. Version 1 has at most 107, version 2 addresses of
// at most 216 and then whatever the sender likes to add, such as the names in a certificate.
const MaxSize = 4096

// maxText is the longest header of version 1.
const maxText = 107

// Errors of Feed.
var (
	ErrNone    = errors.New("no header of the PROXY protocol")
	ErrInvalid = errors.New("an invalid header of the PROXY protocol")
	ErrTooLong = errors.New("a header of the PROXY protocol that is too long")
)

const (
	text      = "PROXY "                 // how version 1 begins
	signature = "\r\n\r\n\x00\r\nQUIT\n" // how version 2 begins
	fixed     = len(signature) + 4       // then version and command, family and transport, and the size of the rest
)

// Reader reads one header, which may come in parts. The zero value is ready for use.
type Reader struct {
	// Source is the client's address when Feed has returned true; not valid if the header has none: the
	// connection is the load balancer's own (LOCAL), or the client's address is not known or no IP address.
	Source netip.AddrPort

	header []byte
}

// Feed reads the header's next bytes from b. It returns how many of them belong to the header, and
// whether it is complete; the bytes behind it are the client's. The error is one of the package's. Feed does not keep b.
func (r *Reader) Feed(b []byte) (n int, done bool, err error) {
	for n < len(b) && !done && err == nil {
		var m int
		if m, done, err = r.feed(b[n:]); m == 0 && !done {
			break
		}
		n += m
	}
	return n, done, err
}

// feed takes as many bytes as belong to the header for sure.
func (r *Reader) feed(b []byte) (n int, done bool, err error) {
	begin := text
	if first := append(r.header[:len(r.header):len(r.header)], b[0])[0]; first == signature[0] {
		begin = signature
	}
	if have := len(r.header); have < len(begin) {
		n = min(len(begin)-have, len(b))
		r.header = append(r.header, b[:n]...)
		if !strings.HasPrefix(begin, string(r.header)) {
			return n, false, ErrNone
		}
		return n, false, nil
	}
	if begin == text {
		return r.feedText(b)
	}
	return r.feedBinary(b)
}

// feedText reads version 1 behind its beginning: up to the end of the line.
func (r *Reader) feedText(b []byte) (n int, done bool, err error) {
	n = len(b)
	if end := bytes.IndexByte(b, '\n'); end >= 0 {
		n, done = end+1, true
	}
	if len(r.header)+n > maxText {
		return n, false, ErrTooLong
	}
	r.header = append(r.header, b[:n]...)
	if done {
		r.Source, err = parseText(string(r.header[len(text):]))
	}
	return n, done && err == nil, err
}

// parseText returns the source of a header's line behind "PROXY ".
func parseText(line string) (netip.AddrPort, error) {
	line, ended := strings.CutSuffix(line, "\r\n")
	fields := strings.Split(line, " ")
	switch {
	case !ended:
		return netip.AddrPort{}, ErrInvalid
	case fields[0] == "UNKNOWN":
		return netip.AddrPort{}, nil
	case len(fields) != 5 || fields[0] != "TCP4" && fields[0] != "TCP6":
		return netip.AddrPort{}, ErrInvalid
	}
	source, err := parseEnd(fields[1], fields[3], fields[0] == "TCP4")
	if err == nil {
		_, err = parseEnd(fields[2], fields[4], fields[0] == "TCP4")
	}
	return source, err
}

// parseEnd returns one end of the connection.
func parseEnd(host, port string, is4 bool) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(host)
	number, errPort := strconv.ParseUint(port, 10, 16)
	if err != nil || errPort != nil || addr.Is4() != is4 || addr.Zone() != "" || port != strconv.FormatUint(number, 10) {
		return netip.AddrPort{}, ErrInvalid
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), nil
}

// Values of version 2: the low half of the byte behind the signature, and both halves of the one behind that.
const (
	commandLocal, commandProxy             = 0, 1
	familyNone, familyIP4, familyIP6       = 0, 1, 2
	familyUnix, transportNone, transportTC = 3, 0, 1
)

// feedBinary reads version 2 behind its signature.
func (r *Reader) feedBinary(b []byte) (n int, done bool, err error) {
	want := fixed
	if len(r.header) >= fixed {
		want = r.size()
	}
	n = min(want-len(r.header), len(b))
	r.header = append(r.header, b[:n]...)
	switch {
	case len(r.header) < fixed:
		return n, false, nil
	case r.header[len(signature)]>>4 != 2:
		return n, false, ErrInvalid
	case r.size() > MaxSize:
		return n, false, ErrTooLong
	case len(r.header) < r.size():
		return n, false, nil
	}
	r.Source, err = parseBinary(r.header[len(signature):])
	return n, err == nil, err
}

// size returns how long a header of version 2 is, once its fixed part is there.
func (r *Reader) size() int { return fixed + int(binary.BigEndian.Uint16(r.header[fixed-2:])) }

// parseBinary returns the source of a header behind its signature. What follows the addresses is of no interest here.
func parseBinary(b []byte) (netip.AddrPort, error) {
	command, family, transport, rest := b[0]&0xf, b[1]>>4, b[1]&0xf, b[4:]
	switch {
	case command == commandLocal:
		return netip.AddrPort{}, nil
	case command != commandProxy, family > familyUnix, transport > 2:
		return netip.AddrPort{}, ErrInvalid
	case family == familyNone, family == familyUnix, transport == transportNone:
		return netip.AddrPort{}, nil
	case transport != transportTC:
		return netip.AddrPort{}, ErrInvalid // a datagram's, over a stream
	}
	size := 4
	if family == familyIP6 {
		size = 16
	}
	if len(rest) < 2*size+4 {
		return netip.AddrPort{}, ErrInvalid
	}
	addr, _ := netip.AddrFromSlice(rest[:size])
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(rest[2*size:])), nil
}
