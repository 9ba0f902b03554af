package session

import (
	"strings"
	"testing"

	"ringway/conf"
	"ringway/hashring"
)

// The error for keys on several shards says which keys, why they are apart, and what to write.
func TestCrossSlotNamesKeysAndRemedy(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", 100)
	for _, test := range []struct{ topology, tag, a, b, want string }{
		{conf.Static, "{}", "a", "b", `: "a" and "b" have no hash tag; want one for both, such as {user1}:name (the pool has hash_tag = "{}"; its together can keep other keys on one shard)`},
		{conf.Static, "{}", "a{}", "{b", `: "a{}" and "{b" have no hash tag; want one for both, such as {user1}:name (the pool has hash_tag = "{}"; its together can keep other keys on one shard)`},
		{conf.Static, "{}", "{t}a", "b", `: "{t}a" has the hash tag "t", "b" has none; want one for both, such as {user1}:name (the pool has hash_tag = "{}"; its together can keep other keys on one shard)`},
		{conf.Sentinel, "{}", "a", "{t}b", `: "a" has no hash tag, "{t}b" has "t"; want one for both, such as {user1}:name (the pool has hash_tag = "{}"; its together can keep other keys on one shard)`},
		{conf.Replicated, "$$", "$t$a", "$u$b", `: "$t$a" has the hash tag "t", "$u$b" has "u"; want one for both, such as $user1$:name (the pool has hash_tag = "$$"; its together can keep other keys on one shard)`},
		{conf.Static, "", "{t}1", "{t}2", `: the pool has no hash_tag, so it does not look at the tag of "{t}1" and "{t}2"; want hash_tag = "{}" in its configuration, which moves keys that have such a part`},
		{conf.Static, "", "{t}1", "{u}2", `: the pool has no hash_tag, and "{t}1" and "{u}2" are on different shards; want hash_tag = "{}" in its configuration, which moves keys that have such a part, and one tag in both, such as {user1}:name`},
		{conf.Static, "", "a", "b", `: the pool has no hash_tag, and "a" and "b" are on different shards; want hash_tag = "{}" in its configuration, which moves keys that have such a part, and one tag in both, such as {user1}:name`},
		{conf.Cluster, "{}", "{t}a", "b", `: "{t}a" has the hash tag "t", "b" has none; want one for both, such as {user1}:name (a Cluster's keys are in slots by what is in {})`},
		{conf.Static, "{}", "a\r\n\xff", long, `: "a\r\n\xff" and "` + long[:40] + `"... have no hash tag; want one for both, such as {user1}:name (the pool has hash_tag = "{}"; its together can keep other keys on one shard)`},
	} {
		c := conf.DefaultPool("alpha")
		c.Topology, c.HashTag = test.topology, test.tag
		want := "CROSSSLOT Keys in request don't hash to the same slot" + test.want
		if got := crossSlot(&c, nil, []byte(test.a), []byte(test.b)).Error(); got != want {
			t.Errorf("%q and %q in %s with hash_tag %q:\n%s, want\n%s", test.a, test.b, test.topology, test.tag, got, want)
		}
		if got := crossSlot(&c, nil, nil, []byte(test.b)).Error(); !strings.HasPrefix(got, crossSlotText+"; ") || !strings.Contains(got, "hash") {
			t.Errorf("without keys, in %s with hash_tag %q: %s", test.topology, test.tag, got)
		}
	}
	c := conf.DefaultPool("alpha")
	c.Distribution = "random"
	if got := crossSlot(&c, nil, []byte("a"), []byte("b")).Error(); !strings.Contains(got, "distribution is random") {
		t.Errorf("under random: %s", got)
	}
}

// Where patterns place the keys, the error names these.
func TestCrossSlotNamesPatterns(t *testing.T) {
	t.Parallel()
	c := conf.DefaultPool("alpha")
	c.Servers = []conf.Server{{Name: "a", Weight: 1}, {Name: "b", Weight: 1}}
	c.Together = []hashring.Together{{Patterns: []string{"bull:(*):*"}}, {Name: "jobs", Patterns: []string{"job:*", "\x06*"}}}
	ring, err := hashring.New(c.Ring())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ a, b, want string }{
		{"bull:x:id", "job:1", `: "bull:x:id" is placed by "x" of the pattern "bull:(*):*", "job:1" by "jobs" of the pattern "job:*"; `},
		{"bull:x:id", "bull:y:id", `: "bull:x:id" is placed by "x" of the pattern "bull:(*):*", "bull:y:id" by "y" of the pattern "bull:(*):*"; `},
		{"bull:x:id", "{t}a", `: "bull:x:id" is placed by "x" of the pattern "bull:(*):*", "{t}a" by its hash tag "t"; `},
		{"a", "\x06b", `: "a" is placed by itself, "\x06b" by "jobs" of the pattern "\x06*"; `},
	} {
		want := crossSlotText + test.want + "want one name for both in the pool's together"
		if got := crossSlot(&c, ring, []byte(test.a), []byte(test.b)).Error(); got != want {
			t.Errorf("%q and %q: %s, want\n%s", test.a, test.b, got, want)
		}
	}
	if got := crossSlot(&c, ring, []byte("a"), []byte("b")).Error(); !strings.Contains(got, "hash tag") {
		t.Errorf("without a pattern: %s", got)
	}
}
