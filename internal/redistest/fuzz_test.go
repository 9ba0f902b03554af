package redistest

import (
	"bufio"
	"strings"
	"testing"
)

// Whatever comes in, what is returned is what was read: the beginning of the
// input, and of nothing else a whole reply.
func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{
		"+OK\r\n+next\r\n", "$3\r\na\r\n\r\n", "*2\r\n:1\r\n%1\r\n+k\r\n_\r\n", "|1\r\n+k\r\n+v\r\n:7\r\n",
		"$9223372036854775807\r\n", "*9223372036854775807\r\n", "*-2\r\n", "$\r\n", "\r\n", "$5\r\nab",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r := bufio.NewReader(strings.NewReader(in))
		reply, err := readReply(r)
		if !strings.HasPrefix(in, reply) {
			t.Fatalf("%q is not the beginning of %q", reply, in)
		}
		if err != nil {
			return
		}
		again, err := readReply(bufio.NewReader(strings.NewReader(reply)))
		if again != reply || err != nil {
			t.Errorf("read again: got %q, %v, want %q", again, err, reply)
		}
	})
}
