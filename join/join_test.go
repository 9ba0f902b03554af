package join

import (
	"bytes"
	"testing"

	"ringway/resp"
)

// joined is a case of a table: what servers have answered, and the reply that it comes
// to, or "" if they do not fit.
type joined struct {
	name    string
	replies []string
	want    string
}

// checkTable checks a table for a way to join. dst, which is not empty, must be kept.
func checkTable(t *testing.T, table []joined, join func(dst []byte, replies [][]byte) ([]byte, bool)) {
	t.Helper()
	for _, c := range table {
		got, ok := join([]byte("before"), framed(c.replies...))
		if ok != (c.want != "") || ok && string(got) != "before"+c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, ok, c.want)
		}
	}
}

func framed(replies ...string) (all [][]byte) {
	for _, r := range replies {
		all = append(all, []byte(r))
	}
	return all
}

// Replies that fit nothing, in whatever way they are joined.
var misfits = []string{
	"", "*", "*1", "*1\r", "*1\r\n", "*2\r\n:1\r\n", "*-1\r\n", "*-2\r\n", "*?\r\n.\r\n", "$", "$-1\r\n", "$1\r\n", "$1\r\na", "$2\r\nab\r\n", "+OK\r\n", "+\r\n",
	"-ERR no\r\n", ":\r\n", ":x\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "%1\r\n:1\r\n:2\r\n", "~1\r\n$1\r\na\r\n", "|1\r\n_\r\n_\r\n:1\r\n", "=5\r\ntxt:a\r\n",
	"*9223372036854775807\r\n", "*4294967296\r\n$1\r\na\r\n", "~9223372036854775807\r\n", "*1\r\n*9223372036854775807\r\n", "*1\r\n$9223372036854775807\r\n",
	"*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\na\r\n+x\r\n", "*2\r\n*1\r\n:1\r\n:2\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n", "*3\r\n:1\r\n:2\r\n:3\r\n",
}

// addSeeds gives a fuzz target replies, one of which each of misfits is beside.
func addSeeds(f *testing.F, good ...string) {
	f.Helper()
	for _, g := range good {
		f.Add([]byte(g), []byte(g), false)
		f.Add([]byte(g), []byte(g), true)
		for _, m := range misfits {
			f.Add([]byte(g), []byte(m), false)
			f.Add([]byte(m), []byte(g), true)
		}
	}
}

// checkJoined checks what was made of replies: memory is bounded by what has come, and
// from whole replies comes a whole one.
func checkJoined(t *testing.T, dst []byte, ok bool, replies ...[]byte) {
	t.Helper()
	size, whole := 0, true
	for _, r := range replies {
		size += len(r)
		whole = whole && len(r) > 0 && resp.ElementLen(r) == len(r)
	}
	if cap(dst) > 512+16*size {
		t.Fatalf("%q: %d bytes were reserved", replies, cap(dst))
	}
	if ok && whole && resp.ElementLen(dst) != len(dst) {
		t.Fatalf("%q became %q", replies, dst)
	}
}

// Whatever servers answer, no way to join panics, loops or takes what does not fit for
// something.
func TestMisfitsAreNotJoined(t *testing.T) {
	t.Parallel()
	for _, m := range misfits {
		for name, join := range map[string]func(dst []byte, replies [][]byte) ([]byte, bool){
			"Sum": Sum, "Least": Least, "LeastOfEach": LeastOfEach,
			"Newest": func(dst []byte, replies [][]byte) ([]byte, bool) { return NewestFirst(dst, replies, 10) },
			"NumSub": func(dst []byte, replies [][]byte) ([]byte, bool) {
				return NumSub(dst, replies[0], func(int) int { return 1 })
			},
			"NumSubOfOwners": func(dst []byte, replies [][]byte) ([]byte, bool) {
				return NumSubOfOwners(dst, replies, func(server int, _ []byte) bool { return server == 0 }, func([]byte) int { return 1 })
			},
		} {
			fits := name == "LeastOfEach" && m == "*3\r\n:1\r\n:2\r\n:3\r\n" || m == "*-1\r\n" && name != "Sum" && name != "Least"
			if got, ok := join(nil, framed(m, m)); ok && !fits {
				t.Errorf("%s of %q: %q", name, m, got)
			}
		}
		for protocol := range resp.Protocols {
			for _, name := range []string{"sunion", "zunion", "sintercard"} {
				op, err := ParseSetOperation(name, framed(name, "2", "a", "b"), []int{2, 3}, "7.0.15")
				if err != nil {
					t.Fatal(err)
				}
				got, ok := op.AppendReply(nil, framed(m, m), protocol)
				if !bytes.Contains([]byte(m), []byte("$1\r\na\r\n")) && m != "*-1\r\n" && ok {
					t.Errorf("%s of %q: %q", name, m, got)
				}
			}
		}
	}
}
