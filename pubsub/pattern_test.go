package pubsub

import (
	"fmt"
	"strings"
	"testing"
)

func TestPatternsMatchAsInRedis(t *testing.T) {
	f := func(pattern, s string, want bool) {
		t.Helper()
		if got := (&matcher{work: 1000}).matches(pattern, s); got != want {
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
		m := matcher{work: 10000}
		if m.matches(pattern, s) {
			t.Errorf("%.20q matches", pattern)
		}
		if m.work > 0 || m.work < -len(pattern) {
			t.Errorf("%.20q: %d steps are left", pattern, m.work)
		}
	}
	f("*"+strings.Repeat("a", 2000)+"b", strings.Repeat("a", 100000))
	f(strings.Repeat("a*", 1000)+"b", strings.Repeat("a", 100000))
	f(strings.Repeat("["+strings.Repeat("b", 1000)+"a]", 100)+"b", strings.Repeat("a", 100000))
}

func TestExtraReceiversOfPatterns(t *testing.T) {
	var a SubscriberCounts
	for range 2 {
		for i := range 1000 {
			a.add(&Topic{Kind: Pattern, Name: fmt.Sprint("p", i, ".*")}, 1)
		}
	}
	if n := a.ExtraReceivers(Channel, "p1.x"); n != 0 {
		t.Errorf("%d among so many patterns", n) // more than are looked at
	}
	for i := range 900 {
		a.add(&Topic{Kind: Pattern, Name: fmt.Sprint("p", 100+i, ".*")}, -2)
	}
	a.add(&Topic{Kind: Channel, Name: "p1.x"}, 3)
	if n := a.ExtraReceivers(Channel, "p1.x"); n != 5 || !a.AnyShared() || a.ExtraSubscribers(Channel, "p1.x") != 3 {
		t.Errorf("%d receivers", n)
	}
	a.add(&Topic{Kind: Channel, Name: "p1.x"}, -3)
	for i := range 100 {
		a.add(&Topic{Kind: Pattern, Name: fmt.Sprint("p", i, ".*")}, -2)
	}
	if n := a.ExtraReceivers(Channel, "p1.x"); n != 0 || a.AnyShared() {
		t.Errorf("%d receivers when all have left", n)
	}
}
