package resp

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// request returns args as a RESP array.
func request(args ...string) []byte {
	bs := make([][]byte, len(args))
	for i, a := range args {
		bs[i] = []byte(a)
	}
	return AppendRequest(nil, bs)
}

// mget returns an MGET of n keys and the reply to it.
func mget(n int) (req, reply []byte) {
	args := []string{"MGET"}
	reply = fmt.Appendf(nil, "*%d\r\n", n)
	for i := range n {
		args = append(args, fmt.Sprintf("key:%06d", i))
		reply = append(reply, "$16\r\n0123456789abcdef\r\n"...)
	}
	return request(args...), reply
}

// BenchmarkParse measures the framing of requests that lie whole in one
// buffer, one operation being the whole buffer.
func BenchmarkParse(b *testing.B) {
	get := request("GET", "key:000001")
	mget100, _ := mget(100)
	for _, c := range []struct {
		name string
		in   []byte
	}{
		{"get", get},
		{"set64", request("SET", "key:000001", strings.Repeat("v", 64))},
		{"set4k", request("SET", "key:000001", strings.Repeat("v", 4096))},
		{"get64", bytes.Repeat(get, 64)},
		{"mget100", mget100},
		{"inline", []byte("SET key:000001 value\r\n")},
	} {
		b.Run(c.name, func(b *testing.B) {
			var p RequestParser
			var st RequestState
			b.SetBytes(int64(len(c.in)))
			b.ReportAllocs()
			for b.Loop() {
				for in := c.in; len(in) > 0; {
					n, err := p.Parse(in, &st, &DefaultLimits)
					if n == 0 || err != nil {
						b.Fatal(n, err)
					}
					in = in[n:]
				}
			}
		})
	}
}

// BenchmarkScan measures the framing of whole replies, and BenchmarkReplyLen
// the short way to the same.
func BenchmarkScan(b *testing.B) {
	_, mget100 := mget(100)
	for _, c := range replyCases(mget100) {
		b.Run(c.name, func(b *testing.B) {
			var s ReplyState
			b.SetBytes(int64(len(c.in)))
			b.ReportAllocs()
			for b.Loop() {
				if n, done, err := s.Scan(c.in, &DefaultReplyLimits); n != len(c.in) || !done {
					b.Fatal(n, done, err)
				}
			}
		})
	}
}

func BenchmarkReplyLen(b *testing.B) {
	for _, c := range replyCases(nil) {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.in)))
			b.ReportAllocs()
			for b.Loop() {
				if n := ReplyLen(c.in); n != len(c.in) {
					b.Fatal(n)
				}
			}
		})
	}
}

type replyCase struct {
	name string
	in   []byte
}

func replyCases(aggregate []byte) []replyCase {
	cases := []replyCase{
		{"ok", []byte("+OK\r\n")},
		{"null", []byte("$-1\r\n")},
		{"int", []byte(":12345\r\n")},
		{"bulk3", []byte("$3\r\nabc\r\n")},
		{"bulk64", []byte("$64\r\n" + strings.Repeat("v", 64) + "\r\n")},
		{"bulk4k", []byte("$4096\r\n" + strings.Repeat("v", 4096) + "\r\n")},
		{"error", []byte("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")},
	}
	if aggregate != nil {
		cases = append(cases, replyCase{"mget100", aggregate})
	}
	return cases
}

// BenchmarkArrayReader measures taking the reply of an MGET of 100 keys apart.
func BenchmarkArrayReader(b *testing.B) {
	_, reply := mget(100)
	b.SetBytes(int64(len(reply)))
	b.ReportAllocs()
	for b.Loop() {
		r, _ := ReadArray(reply)
		n := 0
		for e, ok := r.Next(); ok; e, ok = r.Next() {
			n += len(e)
		}
		if n != len(reply)-len("*100\r\n") {
			b.Fatal(n)
		}
	}
}
