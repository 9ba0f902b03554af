package glob

import (
	"strings"
	"testing"
)

func TestPatternsMatchAsInRedis(t *testing.T) {
	f := func(pattern, s string, want bool) {
		t.Helper()
		if got := Matches(&Matcher{Work: 1000}, pattern, s); got != want {
			t.Errorf("%q, %q: %v", pattern, s, got)
		}
	}
	for _, s := range []string{"", "a", "news.sport", "[", "*"} {
		f("*", s, true)
		f("**", s, true)
	}
	f("", "", true)
	f("", "a", false)
	f("news.*", "news.sport", true)
	f("news.*", "new.sport", false)
	f("*.s*t", "news.sport.sort", true)
	f("*.s*t", "news.sport.sorts", false)
	f("h?llo", "hallo", true)
	f("h?llo", "hllo", false)
	f("h[ae]llo", "hello", true)
	f("h[ae]llo", "hillo", false)
	f("h[^e]llo", "hallo", true)
	f("h[^e]llo", "hello", false)
	f("h[a-c]llo", "hbllo", true)
	f("h[c-a]llo", "hbllo", true)
	f("h[a-c]llo", "hdllo", false)
	f(`h\*llo`, "h*llo", true)
	f(`h\*llo`, "hallo", false)
	f(`[\]]`, "]", true)
	f("[ab", "b", true)
	f("[ab", "c", false)
	f("a*b*c*d*e", "abcde", true)
	f("a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false)
}

// The steps of matching are bounded, whatever patterns and channels clients choose.
func TestMatchingIsBounded(t *testing.T) {
	f := func(pattern, s string) {
		t.Helper()
		m := Matcher{Work: 10000}
		if Matches(&m, pattern, []byte(s)) {
			t.Errorf("%.20q matches", pattern)
		}
		if m.Work > 0 || m.Work < -len(pattern) {
			t.Errorf("%.20q: %d steps are left", pattern, m.Work)
		}
	}
	f("*"+strings.Repeat("a", 2000)+"b", strings.Repeat("a", 100000))
	f(strings.Repeat("a*", 1000)+"b", strings.Repeat("a", 100000))
	f(strings.Repeat("["+strings.Repeat("b", 1000)+"a]", 100)+"b", strings.Repeat("a", 100000))
}

// FuzzMatches compares with the recursion of Redis, and looks that no input is too much.
func FuzzMatches(f *testing.F) {
	for _, pattern := range []string{"*", "a*b?c", "[^a-c]*", `\[a]`, "[", "[^", "[]", `[\`, "[a-", "**a", `\`} {
		f.Add(pattern, "abc")
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 12 { // the recursion may take very long
			Matches(&Matcher{Work: 10000}, pattern, s)
			return
		}
		if got, want := Matches(&Matcher{Work: 100000}, pattern, s), recursive(pattern, s); got != want {
			t.Errorf("%q, %q: %v, want %v", pattern, s, got, want)
		}
	})
}

// recursive matches with one function call for each byte: slowly, but plainly right.
func recursive(pattern, s string) bool {
	switch {
	case pattern == "":
		return s == ""
	case pattern[0] == '*':
		return recursive(pattern[1:], s) || s != "" && recursive(pattern, s[1:])
	case s == "":
		return false
	}
	n := (&Matcher{Work: 1000}).matchOne(pattern, s[0])
	return n > 0 && recursive(pattern[n:], s[1:])
}
