package pool

import "testing"

func TestPatternsMatchAsInRedis(t *testing.T) {
	f := func(pattern, s string, want bool) {
		t.Helper()
		if got := matchPattern(pattern, s); got != want {
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
