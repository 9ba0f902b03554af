package resp

import (
	"fmt"
	"math"
	"testing"
)

// What every writer appends, in both protocols.
var written = []struct {
	name  string
	write func(dst []byte, p Protocol) []byte
	want  [Protocols]string
}{
	{"array", func(dst []byte, _ Protocol) []byte { return AppendInt(AppendArray(dst, 1), 7) }, same("*1\r\n:7\r\n")},
	{"no elements", func(dst []byte, _ Protocol) []byte { return AppendArray(dst, 0) }, same("*0\r\n")},
	{"integer", func(dst []byte, _ Protocol) []byte { return AppendInt(dst, math.MinInt64) }, same(":-9223372036854775808\r\n")},
	{"bulk", func(dst []byte, _ Protocol) []byte { return AppendBulk(dst, []byte("a\r\nb")) }, same("$4\r\na\r\nb\r\n")},
	{"empty bulk", func(dst []byte, _ Protocol) []byte { return AppendBulk(dst, nil) }, same("$0\r\n\r\n")},
	{"bulk of a string", func(dst []byte, _ Protocol) []byte { return AppendBulkString(dst, "abc") }, same("$3\r\nabc\r\n")},
	{"simple string", func(dst []byte, _ Protocol) []byte { return AppendSimple(dst, "OK") }, same("+OK\r\n")},
	{"error", func(dst []byte, _ Protocol) []byte { return AppendError(dst, "ERR a\r\n+OK") }, same("-ERR a  +OK\r\n")},
	{"null", func(dst []byte, p Protocol) []byte { return p.AppendNull(dst) }, [...]string{"$-1\r\n", "_\r\n"}},
	{"null array", func(dst []byte, p Protocol) []byte { return p.AppendNullArray(dst) }, [...]string{"*-1\r\n", "_\r\n"}},
	{"map", func(dst []byte, p Protocol) []byte { return AppendInt(AppendInt(p.AppendMap(dst, 1), 1), 2) },
		[...]string{"*2\r\n:1\r\n:2\r\n", "%1\r\n:1\r\n:2\r\n"}},
	{"set", func(dst []byte, p Protocol) []byte { return AppendInt(p.AppendSet(dst, 1), 1) }, [...]string{"*1\r\n:1\r\n", "~1\r\n:1\r\n"}},
	{"push", func(dst []byte, p Protocol) []byte { return AppendInt(p.AppendPush(dst, 1), 1) }, [...]string{"*1\r\n:1\r\n", ">1\r\n:1\r\n"}},
	{"text", func(dst []byte, p Protocol) []byte { return p.AppendText(dst, "# Server\r\n") },
		[...]string{"$10\r\n# Server\r\n\r\n", "=14\r\ntxt:# Server\r\n\r\n"}},
	{"double", func(dst []byte, p Protocol) []byte { return p.AppendDouble(dst, []byte("1.5")) }, [...]string{"$3\r\n1.5\r\n", ",1.5\r\n"}},
	{"request", func(dst []byte, _ Protocol) []byte { return AppendRequest(dst, [][]byte{[]byte("GET"), []byte("k")}) }, same("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")},
	{"no request", func(dst []byte, _ Protocol) []byte { return AppendRequest(dst, nil) }, same("")},
}

func same(s string) [Protocols]string { return [Protocols]string{s, s} }

func TestWritersSpellTheirProtocol(t *testing.T) {
	t.Parallel()
	for _, c := range written {
		for p := range Protocols {
			got := string(c.write([]byte("before"), p))
			if got != "before"+c.want[p] {
				t.Errorf("%s in RESP%d: %q, want %q", c.name, p.Version(), got, c.want[p])
			}
			var s ReplyState
			lim := DefaultReplyLimits
			lim.RESP2 = p == RESP2
			if reply := []byte(c.want[p]); len(reply) > 0 {
				if n, done, err := s.Scan(reply, &lim); n != len(reply) || !done || err != nil {
					t.Errorf("%s in RESP%d is no reply: %d, %v, %v", c.name, p.Version(), n, done, err)
				}
			}
		}
	}
}

func TestWritersDoNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1<<10)
	for _, c := range written {
		if c.name == "error" || c.name == "request" {
			continue // a line break is replaced in a copy; the request above is made in the call
		}
		for p := range Protocols {
			if allocs := testing.AllocsPerRun(100, func() { c.write(dst, p) }); allocs != 0 {
				t.Errorf("%s: %v allocations", c.name, allocs)
			}
		}
	}
}

func BenchmarkAppendBulk(b *testing.B) {
	for _, size := range []int{3, 40, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, dst := make([]byte, size), make([]byte, 0, size+20)
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendBulk(dst[:0], s)
			}
		})
	}
}
