package proxyheader

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// binaryHeader returns a header of version 2.
func binaryHeader(versionCommand, familyTransport string, rest string) string {
	raw, err := hex.DecodeString(versionCommand + familyTransport)
	if err != nil {
		panic(err)
	}
	return signature + string(raw) + string([]byte{byte(len(rest) >> 8), byte(len(rest))}) + rest
}

const (
	ends4 = "\x0a\x01\x02\x03\xc0\xa8\x00\x01\x1f\x90\x18\xeb"                                                           // 10.1.2.3:8080 to 192.168.0.1:6379
	ends6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" + "0123456789abcdef" + "\xff\xff\x00\x01" // [2001:db8::7]:65535
)

var headers = []struct {
	header, source string // "" for none
	err            error
}{
	{"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535", nil}, // the specification's longest
	{"PROXY TCP6 ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "", ErrInvalid},
	{"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", nil},
	{"PROXY UNKNOWN\r\n", "", nil},
	{"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "", nil},
	{"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1:56324", nil},
	{"PROXY TCP6 ::1 ::2 1 2\r\n", "[::1]:1", nil},
	{"PROXY TCP6 ::ffff:10.0.0.1 ::2 1 2\r\n", "10.0.0.1:1", nil},
	{"PROXY TCP4 ::1 ::2 1 2\r\n", "", ErrInvalid},
	{"PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n", "", ErrInvalid},
	{"PROXY TCP4 10.0.0.1 10.0.0.2 65536 2\r\n", "", ErrInvalid},
	{"PROXY TCP4 10.0.0.1 10.0.0.2 01 2\r\n", "", ErrInvalid},
	{"PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n", "", ErrInvalid},
	{"PROXY TCP4 10.0.0.1  10.0.0.2 1 2\r\n", "", ErrInvalid},
	{"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n", "", ErrInvalid},
	{"PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n", "", ErrInvalid},
	{"PROXY \r\n", "", ErrInvalid},
	{"PROXY UNKNOWN " + strings.Repeat("x", maxText), "", ErrTooLong},
	{"PROXIES", "", ErrNone},
	{"*1\r\n$4\r\nPING\r\n", "", ErrNone},
	{"\x16\x03\x01\x02\x00", "", ErrNone},
	{"\r\n\r\nPING", "", ErrNone},
	{binaryHeader("21", "11", ends4), "10.1.2.3:8080", nil},
	{binaryHeader("21", "11", ends4+"\x04\x00\x01x"), "10.1.2.3:8080", nil},
	{binaryHeader("21", "21", ends6), "[2001:db8::7]:65535", nil},
	{binaryHeader("20", "00", ""), "", nil},
	{binaryHeader("20", "11", ends4), "", nil}, // LOCAL: what it says of addresses does not count
	{binaryHeader("21", "00", "anything"), "", nil},
	{binaryHeader("21", "31", strings.Repeat("/", 216)), "", nil},
	{binaryHeader("21", "11", ends4[:11]), "", ErrInvalid},
	{binaryHeader("21", "21", ends4), "", ErrInvalid},
	{binaryHeader("21", "12", ends4), "", ErrInvalid},
	{binaryHeader("21", "41", ends4), "", ErrInvalid},
	{binaryHeader("22", "11", ends4), "", ErrInvalid},
	{binaryHeader("11", "11", ends4), "", ErrInvalid},
	{binaryHeader("21", "11", strings.Repeat("x", MaxSize)), "", ErrTooLong},
}

// A header is read to its last byte and not beyond, in whichever parts it comes.
func TestHeaders(t *testing.T) {
	t.Parallel()
	const client = "*1\r\n$4\r\nPING\r\n"
	for _, test := range headers {
		all := test.header + client
		for step := 1; step <= len(all); step++ {
			var r Reader
			read, done, err := 0, false, error(nil)
			for at := 0; at < len(all) && !done && err == nil; at += step {
				var n int
				n, done, err = r.Feed([]byte(all[at:min(at+step, len(all))]))
				read += n
				if n < min(step, len(all)-at) && !done && err == nil {
					t.Fatalf("%q in steps of %d: %d bytes were left", test.header, step, n)
				}
			}
			source := ""
			if r.Source.IsValid() {
				source = r.Source.String()
			}
			if !errors.Is(err, test.err) || source != test.source || err == nil && (!done || read != len(test.header)) {
				t.Fatalf("%q in steps of %d: %v, %q, %d bytes; want %v, %q, %d bytes", test.header, step, err, source, read, test.err, test.source, len(test.header))
			}
		}
	}
}

// FuzzReader looks for a header that is read differently in parts, or beyond its end.
func FuzzReader(f *testing.F) {
	for _, test := range headers {
		f.Add([]byte(test.header+"PING"), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		var whole, parts Reader
		n, done, err := whole.Feed(b)
		if n > len(b) || n > MaxSize || done && err != nil || done && whole.Source.IsValid() && whole.Source.Addr() == (netip.Addr{}) {
			t.Fatalf("%d, %v, %v", n, done, err)
		}
		cut = min(max(cut, 0), len(b))
		n1, done2, err2 := parts.Feed(b[:cut])
		n2 := 0
		if !done2 && err2 == nil {
			n2, done2, err2 = parts.Feed(b[cut:])
		}
		if done2 != done || (err == nil) != (err2 == nil) || done && (n1+n2 != n || parts.Source != whole.Source) {
			t.Fatalf("in one: %d, %v, %v, %v; in two: %d, %v, %v, %v", n, done, err, whole.Source, n1+n2, done2, err2, parts.Source)
		}
	})
}
