package hashring

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPatternDecidesWhatIsHashed(t *testing.T) {
	type want struct{ key, part, pattern string }
	group := func(name string, patterns ...string) Together { return Together{Name: name, Patterns: patterns} }
	for _, c := range []struct {
		groups []Together
		want   []want
	}{
		{[]Together{group("rq:*", "rq:*")}, []want{
			{"rq:queue:default", "rq:*", "rq:*"}, {"rq:", "rq:*", "rq:*"}, {"rq", "rq", ""}, {"xrq:a", "xrq:a", ""}, {"", "", ""},
			{"rq:job:{7}", "rq:*", "rq:*"}, {"job:{7}", "7", ""},
		}},
		{[]Together{group("", "bull:(*):*")}, []want{
			{"bull:mail:wait", "mail", "bull:(*):*"}, {"bull:mail:7:logs", "mail", "bull:(*):*"}, {"bull:mail:", "mail", "bull:(*):*"},
			{"bull:mail", "bull:mail", ""}, {"bull::wait", "bull::wait", ""}, {"bull:a:b:wait", "a", "bull:(*):*"},
			{"bull:{mail}:wait", "mail", "bull:(*):*"}, {"bull:{a}mail:wait", "a", "bull:(*):*"}, {"bull:mail:{7}", "mail", "bull:(*):*"},
		}},
		{[]Together{group("", "(bull:*):*", "q:(a*z)", "x*:(*:y)*")}, []want{
			{"bull:mail:wait", "bull:mail", "(bull:*):*"}, {"q:az", "az", "q:(a*z)"}, {"q:abzz", "abzz", "q:(a*z)"}, {"q:a", "q:a", ""},
			{"x1:2:3:yes", "2:3:y", "x*:(*:y)*"},
		}},
		{[]Together{group("", "queues:(*):*", "queues:(*)")}, []want{
			{"queues:default:notify", "default", "queues:(*):*"}, {"queues:default", "default", "queues:(*)"},
		}},
		{[]Together{group("", "(*)\x06\x16*"), group("celery", "celery*", "*.pidbox")}, []want{
			{"mail\x06\x163", "mail", "(*)\x06\x16*"}, {"mail", "mail", ""}, {"celery\x06\x169", "celery", "celery*"},
			{"7.reply.pidbox", "celery", "*.pidbox"}, {"7.reply.pidbox.", "7.reply.pidbox.", ""},
		}},
		// The longest beginning counts, whatever the order, and then the order.
		{[]Together{group("all", "app:*"), group("jobs", "app:jobs:*", "app:jobs"), group("one", "app:jobs:1")}, []want{
			{"app:x", "all", "app:*"}, {"app:jobs:2", "jobs", "app:jobs:*"}, {"app:jobs", "jobs", "app:jobs"}, {"app:jobs:1", "one", "app:jobs:1"},
			{"app:job", "all", "app:*"}, {"app:jobs:12", "jobs", "app:jobs:*"}, {"app:jobsx", "all", "app:*"},
		}},
		// A longer beginning whose rest does not match leaves the key to a shorter one.
		{[]Together{group("all", "app:*"), group("", "app:jobs:(*):x")}, []want{
			{"app:jobs:7:x", "7", "app:jobs:(*):x"}, {"app:jobs:7:y", "all", "app:*"}, {"app:jobs::x", "all", "app:*"},
		}},
		{[]Together{group("g{tag}", `\*\(\)\?\[\]\\\@`, `\@x*`)}, []want{
			{`*()?[]\@`, "tag", `\*\(\)\?\[\]\\\@`}, {"@xy", "tag", `\@x*`},
		}},
	} {
		r := mustNew(t, Config{Hash: "xxhash64", Distribution: "ketama", HashTag: "{}", Together: c.groups, Servers: shards(4)})
		for _, r := range []*Ring{r, r.Without([]bool{true})} {
			for _, w := range c.want {
				if part, pattern := r.Part([]byte(w.key)); string(part) != w.part || pattern != w.pattern {
					t.Errorf("%v: of %q %q is hashed by %q, want %q by %q", c.groups, w.key, part, pattern, w.part, w.pattern)
				}
			}
		}
	}
}

func TestPatternsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                "is empty",
		"*":               "matches every key",
		"(*)":             "matches every key",
		"@bullmq":         "names no pattern",
		"a**":             "two * with nothing between",
		"a:(*)*":          "two * with nothing between",
		"a*b*c*d*e*":      "more than 4 times *",
		"a:(*):(*)":       "two pairs of parentheses",
		"a:((*))":         "two pairs of parentheses",
		"a:(b):*":         "parentheses without a *",
		"a:()*":           "parentheses without a *",
		"a:*)":            "a ) without a (",
		"a:(*))":          "a ) without a (",
		"a:(*":            "a ( without a )",
		"a:?":             "? has no meaning here",
		"a:[b]*":          "[ has no meaning here",
		"a]":              "] has no meaning here",
		`a\`:              `a \ at the end`,
		`a\d`:             `\d has no meaning`,
		`a:` + "\x00(*\\": `a \ at the end`,
	} {
		if _, err := ParsePattern(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("pattern %q: %v, want %q", text, err, want)
		}
	}
	for _, g := range []Together{{Patterns: []string{"rq:*"}}, {Name: "a", Patterns: []string{"bull:(*):*"}}, {Name: "a", Patterns: []string{"*"}}} {
		if _, err := New(Config{Hash: "xxhash64", Distribution: "ketama", Together: []Together{g}, Servers: shards(2)}); err == nil {
			t.Errorf("%+v is accepted", g)
		}
	}
}

func TestPatternsAreMatchedWithoutAllocations(t *testing.T) {
	r := mustNew(t, Config{Hash: "fnv1a_64", Distribution: "ketama", HashTag: "{}", Together: benchTogether, Servers: shards(4)})
	keys := [][]byte{[]byte("bull:mail:wait"), []byte("rq:job:7"), []byte("user:7"), []byte("app:jobs:7"), []byte("{x}y")}
	owners := make([]int, len(keys))
	if n := testing.AllocsPerRun(100, func() { r.Indices(keys, owners) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// modelPattern is a second, simple implementation of Pattern.
type modelPattern struct {
	text      string
	expr      *regexp.Regexp // of runes that each stand for a byte
	beginning int            // bytes before the first star
	name      string         // "" if it captures
}

func newModelPattern(text, name string) modelPattern {
	m := modelPattern{text: text, name: name, beginning: -1}
	var expr strings.Builder
	length := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '*':
			if m.beginning < 0 {
				m.beginning = length
			}
			expr.WriteString(".*?")
		case '(', ')':
			expr.WriteByte(text[i])
		case '\\':
			i++
			fallthrough
		default:
			length++
			fmt.Fprintf(&expr, `\x%02x`, text[i])
		}
	}
	if m.beginning < 0 {
		m.beginning = length
	}
	m.expr = regexp.MustCompile("(?s)^" + expr.String() + "$")
	return m
}

// part returns what is hashed if key matches.
func (m modelPattern) part(key []byte) ([]byte, bool) {
	found := m.expr.FindStringSubmatch(modelRunes(key))
	switch {
	case found == nil:
		return nil, false
	case m.name != "":
		return []byte(m.name), true
	}
	return modelBytes(found[1]), found[1] != ""
}

// modelRunes returns a text of one rune a byte: a regular expression cannot match bytes
// from 0x80 on.
func modelRunes(b []byte) string {
	var runes []rune
	for _, c := range b {
		runes = append(runes, rune(c))
	}
	return string(runes)
}

func modelBytes(s string) (b []byte) {
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

// modelPart is Ring.Part.
func modelPart(key []byte, cfg Config) (part []byte, pattern string) {
	part = key
	longest := -1
	for _, g := range cfg.Together {
		for _, text := range g.Patterns {
			p := newModelPattern(text, g.Name)
			if got, ok := p.part(key); ok && p.beginning > longest {
				part, pattern, longest = got, text, p.beginning
			}
		}
	}
	return modelTag(part, cfg.HashTag), pattern
}

// together returns up to three groups with patterns over few letters, so that many
// match.
func (l randomInput) together() (groups []Together) {
	for range l.IntN(4) {
		captures, name := l.IntN(2) == 0, l.word(3)+"n"
		g := Together{Name: name}
		if captures {
			g.Name = ""
		}
		for range 1 + l.IntN(4) {
			if p, err := ParsePattern(l.pattern(captures)); err == nil && p.Captures() == captures {
				g.Patterns = append(g.Patterns, p.String())
			}
		}
		groups = append(groups, g)
	}
	return groups
}

// word returns up to n letters of a small alphabet.
func (l randomInput) word(n int) string {
	b := make([]byte, l.IntN(n+1))
	for i := range b {
		b[i] = "ab:{}\xff"[l.IntN(6)]
	}
	return string(b)
}

func (l randomInput) pattern(captures bool) string {
	parts := []string{l.word(2)}
	for range l.IntN(3) {
		parts = append(parts, "*", l.word(2))
	}
	if captures {
		open := l.IntN(len(parts))
		shut := open + l.IntN(len(parts)-open)
		parts[open] = parts[open][:len(parts[open])/2] + "(" + parts[open][len(parts[open])/2:]
		parts[shut] += ")"
	}
	return strings.Join(parts, "")
}

func TestPartIsThatOfTheModel(t *testing.T) {
	seed := rand.Uint64()
	matched := 0
	for n := range uint64(1500) {
		l := newRandomInput(seed + n)
		cfg := Config{Hash: "fnv1a_64", Distribution: "ketama", HashTag: []string{"", "{}"}[l.IntN(2)], Together: l.together(), Servers: shards(5)}
		r := mustNew(t, cfg)
		for range 8 {
			key := []byte(l.word(12))
			part, pattern := r.Part(key)
			want, wantPattern := modelPart(key, cfg)
			if !bytes.Equal(part, want) || pattern != wantPattern {
				t.Fatalf("seed %d: %+v: of %q %q is hashed by %q, want %q by %q", seed+n, cfg.Together, key, part, pattern, want, wantPattern)
			}
			if pattern != "" {
				matched++
			}
			prefix := key[:l.IntN(len(key)+1)]
			if of, _ := r.Part(prefix); r.Pins(prefix) && !bytes.Equal(of, part) {
				t.Fatalf("seed %d: %+v: %q does not pin %q: one is hashed by %q, the other by %q", seed+n, cfg.Together, prefix, key, of, part)
			}
		}
	}
	if matched < 500 {
		t.Errorf("only %d keys match a pattern", matched)
	}
}

// Every key is placed as a key that is its part.
func TestTogetherPlacesKeysByTheirParts(t *testing.T) {
	for _, hash := range []string{"fnv1a_64", "xxhash64"} {
		for _, distribution := range []string{"ketama", "modula", "bounded"} {
			cfg := Config{Hash: hash, Distribution: distribution, Servers: shards(7)}
			plain := mustNew(t, cfg)
			cfg.HashTag, cfg.Together = "{}", benchTogether
			down := []bool{false, true, false, true}
			r, plain := mustNew(t, cfg).Without(down), plain.Without(down)
			keys := benchKeys()[:400]
			for i := range keys {
				switch i % 4 {
				case 0:
					keys[i] = slices.Concat([]byte("bull:"), keys[i], []byte(":wait"))
				case 1:
					keys[i] = slices.Concat([]byte("app:"), keys[i])
				case 2:
					keys[i] = slices.Concat([]byte("{"), keys[i], []byte("}:x"))
				}
			}
			owners := make([]int, len(keys))
			r.Indices(keys, owners)
			for i, key := range keys {
				part, _ := r.Part(key)
				if want := plain.Index(part); owners[i] != want || r.Index(key) != want {
					t.Fatalf("%s by %s: %q is on %d and %d, its part %q on %d", distribution, hash, key, owners[i], r.Index(key), part, want)
				}
			}
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"rq:*", "bull:(*):*", "(bull:*):*", `a\*(*)`, "*.x", "(*)\x06*", "a*b*c*d", "@x", "a)", "a(*", ""} {
		f.Add(s, []byte("bull:mail:wait"), "{}")
		f.Add(s, []byte("a*b.x\x06"), "")
	}
	f.Fuzz(func(t *testing.T, text string, key []byte, tag string) {
		p, err := ParsePattern(text)
		if err != nil {
			return
		}
		if len(tag) != 2 {
			tag = ""
		}
		g := Together{Patterns: []string{text}}
		if !p.Captures() {
			g.Name = "name"
		}
		cfg := Config{Hash: "fnv1a_64", Distribution: "modula", HashTag: tag, Together: []Together{g}, Servers: shards(2)}
		part, pattern := mustNew(t, cfg).Part(key)
		if want, wantPattern := modelPart(key, cfg); !bytes.Equal(part, want) || pattern != wantPattern {
			t.Fatalf("pattern %q: of %q %q is hashed by %q, want %q by %q", text, key, part, pattern, want, wantPattern)
		}
	})
}

// benchTogether are patterns such as a pool with several frameworks has.
var benchTogether = []Together{
	{Patterns: []string{"bull:(*):*", "queues:(*):*", "queues:(*)"}},
	{Name: "rq", Patterns: []string{"rq:*"}},
	{Name: "celery", Patterns: []string{"celery*", "_kombu.binding.*", "unacked*", "*.celery.pidbox"}},
	{Name: "sidekiq", Patterns: []string{"queue:*", "queues", "schedule", "retry", "dead", "processes", "stat:*", "cron_job:*", "cron_jobs"}},
	{Name: "app", Patterns: []string{"app:*"}},
}

// BenchmarkTogether is the cost of the patterns alone: of finding the part of a key
// that is hashed.
func BenchmarkTogether(b *testing.B) {
	prefixes := slices.Concat(benchTogether[:2], benchTogether[3:]) // none that begins with a star
	for _, c := range []struct {
		name   string
		groups []Together
		format string
	}{
		{"none", nil, "user:%06d:profile"},
		{"prefixes/nomatch", prefixes, "user:%06d:profile"},
		{"prefixes/nearly", prefixes, "queux:%06d:profile"},
		{"prefixes/prefix", prefixes, "rq:job:%06d"},
		{"prefixes/capture", prefixes, "bull:mail%d:wait"},
		{"prefixes/exact", prefixes, "processes"},
		{"withsuffix/nomatch", benchTogether, "user:%06d:profile"},
		{"withsuffix/capture", benchTogether, "bull:mail%d:wait"},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := mustNew(b, Config{Hash: "xxhash64", Distribution: "ketama", Together: c.groups, Servers: shards(4)})
			keys := make([][]byte, benchSize)
			for i := range keys {
				keys[i] = []byte(strings.ReplaceAll(c.format, "%06d", fmt.Sprintf("%06d", rand.IntN(1000000))))
				keys[i] = []byte(strings.ReplaceAll(string(keys[i]), "%d", fmt.Sprint(rand.IntN(100))))
			}
			b.ReportAllocs()
			for i := uint(0); b.Loop(); i++ {
				r.part(keys[i%benchSize])
			}
		})
	}
}
