package hashring

import (
	"fmt"
	"testing"
)

// groupsOf returns groups of keys for a test.
func groupsOf(patterns ...string) (groups []Together) {
	for i, p := range patterns {
		parsed, err := ParsePattern(p)
		if err != nil {
			continue
		}
		g := Together{Patterns: []string{p}}
		if !parsed.Captures() {
			g.Name = fmt.Sprint("group", i)
		}
		groups = append(groups, g)
	}
	return groups
}

func TestPins(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		tag, prefix string
		together    []string
		want        bool
	}{
		{"{}", "{a}", nil, true}, {"{}", "x{a}y", nil, true}, {"{}", "{a", nil, false}, {"{}", "{}a", nil, false}, {"{}", "{}{a}", nil, false},
		{"{}", "", nil, false}, {"{}", "a}{b}", nil, true}, {"{}", "{a}}{", nil, true},
		{"$$", "$a$", nil, true}, {"$$", "{a}", nil, false}, {"", "{a}", nil, false},

		{"{}", "{a}", []string{"rq:*"}, true}, {"{}", "{a}x", []string{"{a}:*"}, true}, {"{}", "{a}", []string{"{a}:*"}, false},
		{"{}", "{a}x", []string{"*:x"}, false}, {"{}", "rq:", []string{"rq:*"}, true}, {"", "rq:job:", []string{"rq:*"}, true},
		{"", "rq", []string{"rq:*"}, false}, {"", "rq:", []string{"rq:*", "rq:job:*"}, false}, {"", "rq:j", []string{"rq:*", "rq:job:*"}, false},
		{"", "rq:x", []string{"rq:*", "rq:job:*"}, true}, {"{}", "bull:{a}", []string{"bull:(*):*"}, false}, {"", "a", []string{"*x", "a*"}, true},

		{"", "bull:q:", []string{"bull:(*):*"}, true}, {"", "bull:q:wait", []string{"bull:(*):*"}, true}, {"", "bull:q", []string{"bull:(*):*"}, false},
		{"", "bull::", []string{"bull:(*):*"}, false}, {"{}", "bull:{a}:", []string{"bull:(*):*"}, true}, {"", "bull:q", []string{"bull:(*)"}, false},
		{"", "bull:q:", []string{"bull:(*):*", "bull:q:x"}, false}, {"", "a:b:", []string{"a:*:*"}, true}, {"", "a:b", []string{"a:*:*"}, false},
	} {
		r, err := New(Config{Hash: "xxhash64", Distribution: "modula", HashTag: test.tag, Together: groupsOf(test.together...), Servers: shards(5)})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Pins([]byte(test.prefix)); got != test.want {
			t.Errorf("%q with hash_tag %q and together %q: %v", test.prefix, test.tag, test.together, got)
		}
	}
	r := mustNew(t, Config{Hash: "xxhash64", Distribution: "random", HashTag: "{}", Servers: shards(5)})
	if r.Pins([]byte("{a}")) {
		t.Error("under random a key may be anywhere")
	}
	if !SlotPins([]byte("{a}")) || SlotPins([]byte("a")) || SlotPins([]byte("{}a")) {
		t.Error("wrong in a Cluster")
	}
}

// Whenever a prefix pins, all keys that begin with it have its owner.
func FuzzPins(f *testing.F) {
	f.Add([]byte("{a}"), []byte("b}"), "{}", "rq:*", "a(*)b")
	f.Add([]byte("rq:"), []byte("job:1"), "$$", "rq:*", "rq:job:*")
	f.Add([]byte("a{b"), []byte("}{c}"), "{}", "*", "a*")
	f.Add([]byte("rq:{a}"), []byte("x"), "", "rq:*x", "rq:*")
	f.Add([]byte("bull:q:"), []byte("wait"), "{}", "bull:(*):*", "bull:*")
	f.Fuzz(func(t *testing.T, prefix, rest []byte, tag, pattern, other string) {
		if len(tag) != 2 {
			tag = ""
		}
		r, err := New(Config{Hash: "xxhash64", Distribution: "modula", HashTag: tag, Together: groupsOf(pattern, other), Servers: shards(251)})
		if err != nil {
			return
		}
		key := append(append([]byte{}, prefix...), rest...)
		if r.Pins(prefix) && r.Index(key) != r.Index(prefix) {
			t.Errorf("%q has another owner than %q, tag %q, together %q", key, prefix, tag, []string{pattern, other})
		}
		if SlotPins(prefix) && Slot(key) != Slot(prefix) {
			t.Errorf("%q has another slot than %q", key, prefix)
		}
	})
}
