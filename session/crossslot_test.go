package session_test

import (
	"fmt"
	"strings"
	"testing"
)

// withoutTags returns the error for two keys without hash tags in a pool with hash_tag = "{}".
func withoutTags(a, b string) string {
	return fmt.Sprintf("-CROSSSLOT Keys in request don't hash to the same slot: %q and %q have no hash tag; want one for both, such as {user1}:name (the pool has hash_tag = \"{}\"; its together can keep other keys on one shard)\r\n", a, b)
}

// Whatever refuses the keys, the client hears which.
func TestWhateverRefusesKeysNamesThem(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	a, b := keys[0], keys[1]
	for _, requests := range [][][]string{
		{{"RENAME", a, b}},
		{{"EVAL", "return 1", "2", a, b}},
		{{"WATCH", a, b}},
		{{"WATCH", a}, {"WATCH", b}},
		{{"WATCH", a}, {"BLPOP", b, "1"}},
	} {
		c := p.dial()
		var got string
		for _, args := range requests {
			got = c.Do(args...)
		}
		if want := withoutTags(a, b); got != want {
			t.Errorf("%q: %q, want %q", requests, got, want)
		}
		c.Close()
	}
}

// Who wants to move an element to another shard hears why that is refused.
func TestElementsAreNotMovedBetweenShards(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	a, b := keys[0], keys[1]
	c := p.dial()
	for _, args := range [][]string{{"RPOPLPUSH", a, b}, {"BRPOPLPUSH", a, b, "1"}, {"LMOVE", a, b, "LEFT", "LEFT"}, {"BLMOVE", a, b, "LEFT", "LEFT", "1"}, {"SMOVE", a, b, "m"}} {
		want := strings.TrimSuffix(withoutTags(a, b), "\r\n") + "; the proxy moves no element between servers: it would be lost if the proxy ended between taking and giving it\r\n"
		if got := c.Do(args...); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}
