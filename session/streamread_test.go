package session_test

import (
	"fmt"
	"testing"

	"ringway/internal/redistest"
)

// XREAD of keys on several shards gets the same bytes as from one Redis.
func TestStreamsOfSeveralShardsAreReadAsFromOneRedis(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 4)
	single := redistest.Start(t)
	keys := keysOnEach(t, p, servers)
	a, b, c, d := keys[0], keys[1], keys[2], keys[3]
	for _, protocol := range []string{"2", "3"} {
		through, direct := p.dial(), redistest.Dial(t, "tcp", single.Addr())
		both := func(args ...string) {
			t.Helper()
			want, got := direct.Do(args...), through.Do(args...)
			if got != want {
				t.Errorf("RESP%s, %q: %q, want %q", protocol, args, got, want)
			}
		}
		direct.Do("HELLO", protocol)
		through.Do("HELLO", protocol)
		both("XREAD", "STREAMS", a, b, "0", "0")
		for i, key := range []string{a, c, d} {
			both("XADD", key, fmt.Sprint(i+1, "-1"), "f", "v")
			both("XADD", key, fmt.Sprint(i+1, "-2"), "f", "v", "g", "")
		}
		both("XREAD", "STREAMS", a, b, c, d, "0", "0", "0", "0")
		both("XREAD", "COUNT", "1", "STREAMS", d, c, b, a, "0", "0", "0", "0")
		both("XREAD", "COUNT", "-1", "COUNT", "0", "STREAMS", d, a, "3-1", "1-1")
		both("XREAD", "STREAMS", a, c, a, "1-1", "9", "0")
		both("XREAD", "STREAMS", a, b, c, d, "$", "$", "$", "$")
		both("XREAD", "STREAMS", a, c, "0", "bad")
		both("XREAD", "STREAMS", a, c, "0", ">")
		both("XREAD", "STREAMS", a, c, "0")
		both("XREAD", "STREAMS", a, c, "0", "+")
		both("SET", b, "string")
		both("XREAD", "STREAMS", a, b, "0", "0")
		both("DEL", a, b, c, d)
	}
}
