package join

import (
	"strings"
	"testing"

	"ringway/resp"
)

func TestStreamsAreReadKeyByKey(t *testing.T) {
	t.Parallel()
	r := NewStreamRead(framed(strings.Fields("XREAD COUNT 2 STREAMS a b 0 $")...), []int{4, 5})
	for i, want := range []string{"XREAD COUNT 2 STREAMS a 0", "XREAD COUNT 2 STREAMS b $"} {
		key := framed([]string{"a", "b"}[i])
		if got := r.AppendFetch(nil, key, i); string(got) != string(resp.AppendRequest(nil, framed(strings.Fields(want)...))) {
			t.Errorf("request %d: %q, want %s", i, got, want)
		}
	}
}

func TestStreamsAreJoinedInOrder(t *testing.T) {
	t.Parallel()
	for p, c := range map[resp.Protocol]struct{ null, a, b, both string }{
		resp.RESP2: {"*-1\r\n", "*1\r\n*2\r\n$1\r\na\r\n*0\r\n", "*1\r\n*2\r\n$1\r\nb\r\n*0\r\n", "*2\r\n*2\r\n$1\r\na\r\n*0\r\n*2\r\n$1\r\nb\r\n*0\r\n"},
		resp.RESP3: {"_\r\n", "%1\r\n$1\r\na\r\n*0\r\n", "%1\r\n$1\r\nb\r\n*0\r\n", "%2\r\n$1\r\na\r\n*0\r\n$1\r\nb\r\n*0\r\n"},
	} {
		f := func(want string, replies ...string) {
			t.Helper()
			if got, ok := AppendStreams(nil, framed(replies...), p); !ok || string(got) != want {
				t.Errorf("RESP%d, %q: %q, %v, want %q", p.Version(), replies, got, ok, want)
			}
		}
		f(c.null)
		f(c.null, c.null, c.null)
		f(c.a, c.null, c.a)
		f(c.both, c.a, c.null, c.b)
		for _, odd := range []string{"", ":1\r\n", "*0\r\n", "*2\r\n:1\r\n:2\r\n", "$1\r\nx\r\n", "-ERR x\r\n", "~1\r\n:1\r\n"} {
			if got, ok := AppendStreams(nil, framed(c.a, odd), p); ok {
				t.Errorf("RESP%d: %q is taken for a reply: %q", p.Version(), odd, got)
			}
		}
	}
}

func FuzzStreams(f *testing.F) {
	addSeeds(f, "*1\r\n*2\r\n$1\r\na\r\n*0\r\n", "%1\r\n$1\r\na\r\n*0\r\n", "*-1\r\n", "_\r\n", "*1\r\n")
	f.Fuzz(func(t *testing.T, one, two []byte, resp3 bool) {
		protocol := resp.RESP2
		if resp3 {
			protocol = resp.RESP3
		}
		if got, ok := AppendStreams(nil, [][]byte{one, two}, protocol); ok && len(got) > len(one)+len(two)+10 {
			t.Errorf("%q and %q make %q", one, two, got)
		}
	})
}
