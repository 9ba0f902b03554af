package command

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// globMatch is Redis's stringmatchlen, for patterns without its special cases in brackets
// but ^ and ranges.
func globMatch(p, s []byte) bool {
	for len(p) > 0 && len(s) > 0 {
		switch p[0] {
		case '*':
			for len(p) > 1 && p[1] == '*' {
				p = p[1:]
			}
			if len(p) == 1 {
				return true
			}
			for i := 0; i <= len(s); i++ {
				if globMatch(p[1:], s[i:]) {
					return true
				}
			}
			return false
		case '?':
			s = s[1:]
		case '[':
			p = p[1:]
			not := len(p) > 0 && p[0] == '^'
			if not {
				p = p[1:]
			}
			match := false
			for {
				switch {
				case len(p) >= 2 && p[0] == '\\':
					p = p[1:]
					match = match || p[0] == s[0]
				case len(p) == 0:
				case p[0] == ']':
				case len(p) >= 3 && p[1] == '-':
					lo, hi := min(p[0], p[2]), max(p[0], p[2])
					match = match || lo <= s[0] && s[0] <= hi
					p = p[2:]
				default:
					match = match || p[0] == s[0]
				}
				if len(p) == 0 || p[0] == ']' {
					break
				}
				p = p[1:]
			}
			if match == not {
				return false
			}
			s = s[1:]
		default:
			if p[0] == '\\' && len(p) >= 2 {
				p = p[1:]
			}
			if p[0] != s[0] {
				return false
			}
			s = s[1:]
		}
		if len(p) > 0 {
			p = p[1:]
		}
		if len(s) == 0 {
			p = bytes.TrimLeft(p, "*")
			break
		}
	}
	return len(p) == 0 && len(s) == 0
}

// expand returns a key that probably matches a pattern, with filler in place of what it leaves
// open.
func expand(pattern, filler []byte) (key []byte) {
	next := func() byte {
		if len(filler) == 0 {
			return 'x'
		}
		b := filler[0]
		filler = filler[1:]
		return b
	}
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '*':
			for n := next() % 4; n > 0; n-- {
				key = append(key, next())
			}
		case '?':
			key = append(key, next())
		case '[':
			if i+1 < len(pattern) {
				key = append(key, pattern[i+1])
			}
			for i < len(pattern) && pattern[i] != ']' {
				i++
			}
		case '\\':
			if i+1 < len(pattern) {
				i++
			}
			key = append(key, pattern[i])
		default:
			key = append(key, pattern[i])
		}
	}
	return key
}

func TestLiteralPrefix(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, prefix string
		whole           bool
	}{
		{"{b}:e1:*", "{b}:e1:", false}, {"a*{x}", "a", false}, {"*", "", false}, {"{u}", "{u}", true}, {"", "", true},
		{"{a?}*", "{a", false}, {"{a}[bc]", "{a}", false}, {`{a\}}*`, "{a", false}, {`\{a}*`, "", false},
	} {
		prefix, whole := LiteralPrefix([]byte(test.pattern))
		if string(prefix) != test.prefix || whole != test.whole {
			t.Errorf("%q: %q, %v", test.pattern, prefix, whole)
		}
	}
}

// Every key that matches a pattern begins with its literal prefix, and is it if the pattern has
// nothing else.
func FuzzLiteralPrefix(f *testing.F) {
	for _, p := range []string{"{b}:e1:*", "a*{x}", `{\a}*`, "{a[^b-d]}?*", "[", `\`, "{x}**"} {
		f.Add([]byte(p), []byte("{b}:e1:5"))
		f.Add([]byte(p), []byte("\x03abc\x00y{}"))
	}
	f.Fuzz(func(t *testing.T, pattern, bytes []byte) {
		if len(pattern) > 64 || strings.Count(string(pattern), "*") > 6 {
			return
		}
		prefix, whole := LiteralPrefix(pattern)
		for _, key := range [][]byte{bytes, expand(pattern, bytes)} {
			if !globMatch(pattern, key) {
				continue
			}
			if !strings.HasPrefix(string(key), string(prefix)) || whole && string(key) != string(prefix) {
				t.Errorf("%q matches %q, whose prefix is %q, %v", key, pattern, prefix, whole)
			}
		}
	})
}

func TestKeyPattern(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"KEYS {a}*":                         "{a}*",
		"SCAN 0":                            "",
		"SCAN 0 MATCH {a}*":                 "{a}*",
		"SCAN 0 COUNT 5 TYPE hash match a*": "a*",
		"SCAN 0 Match a* type x COUNT 3":    "a*",
		"SCAN 0 MATCH a* MATCH b*":          "b*", // the last one counts
		"SCAN 0 MATCH a* COUNT":             "",
		"SCAN 0 MATCH a* NOVALUES":          "",
		"SCAN 0 MATCH a* OTHER 1":           "",
		"GET {a}*":                          "",
	} {
		args := byteArgs(strings.Split(request, " ")...)
		c, _ := Lookup(args)
		if got := c.KeyPattern(args); string(got) != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
}

func TestSortPatterns(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"SORT l":                              "[]",
		"SORT l BY nosort GET # GET constant": "[]",
		"SORT l by {u}w_* limit 0 5 GET {u}o_*->f get # STORE by": "[{u}w_ {u}w_* {u}o_ {u}o_*->f]",
		"SORT_RO l GET *": "[ *]",
		"SORT l GET":      "[]",
	} {
		args, got := byteArgs(strings.Split(request, " ")...), []string{}
		SortPatterns(args, func(prefix, pattern []byte) bool {
			got = append(got, string(prefix), string(pattern))
			return true
		})
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", request, got, want)
		}
	}
}
