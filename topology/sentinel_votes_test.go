package topology

import (
	"fmt"
	"strings"
	"testing"
)

// The servers that a test's Sentinels speak of.
const (
	serverA = "10.0.0.1:6379"
	serverB = "10.0.0.2:6379"
	serverC = "10.0.0.3:6379"
)

// votesOf returns the votes of three Sentinels on a master that is followed as
// said, or not at all.
func votesOf(current said, answers ...said) *votes {
	v := newVotes("s1")
	v.known = 3
	if current.addr != "" {
		v.adopt(current)
	}
	for i, s := range answers {
		v.answered(fmt.Sprint("sentinel", i), s)
	}
	return v
}

func TestNewestConfigurationIsFollowed(t *testing.T) {
	none := said{}
	for _, c := range []struct {
		what    string
		current said
		hurry   bool
		answers []said
		want    said
	}{
		{"all agree at the start", none, false, []said{{serverA, 3}, {serverA, 3}, {serverA, 3}}, said{serverA, 3}},
		{"most have answered at the start", none, false, []said{{serverA, 0}, {serverA, 0}}, said{serverA, 0}},
		{"one has answered at the start", none, false, []said{{serverA, 3}}, none},
		{"only one answers at the start", none, true, []said{{serverA, 3}}, said{serverA, 3}},
		{"one is newer at the start", none, false, []said{{serverA, 3}, {serverB, 4}, {serverA, 3}}, said{serverB, 4}},
		{"most count where epochs are equal", none, false, []said{{serverA, 0}, {serverB, 0}, {serverB, 0}}, said{serverB, 0}},
		{"nobody counts where as many say so", none, true, []said{{serverA, 0}, {serverB, 0}}, none},
		{"the name is unknown", none, true, []said{none, none, none}, none},
		{"some do not know the name", none, true, []said{none, {serverA, 1}, none}, said{serverA, 1}},
		{"nothing has changed", said{serverA, 3}, true, []said{{serverA, 3}, {serverA, 3}, {serverA, 3}}, none},
		{"a leader is ahead", said{serverA, 3}, true, []said{{serverA, 3}, {serverB, 4}, {serverA, 3}}, said{serverB, 4}},
		{"the others are behind", said{serverB, 4}, true, []said{{serverA, 3}, {serverB, 4}, {serverA, 3}}, none},
		{"all that answer are behind", said{serverB, 4}, true, []said{{serverA, 3}, {serverA, 3}}, none},
		{"another address is as old", said{serverA, 3}, true, []said{{serverB, 3}, {serverB, 3}, {serverB, 3}}, none},
		{"the same address is newer", said{serverA, 3}, true, []said{{serverA, 5}, {serverA, 3}, {serverA, 3}}, said{serverA, 5}},
		{"nobody answers", said{serverA, 3}, true, nil, none},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, ok := votesOf(c.current, c.answers...).target(c.hurry)
			if got != c.want && ok || ok != (c.want != none) {
				t.Errorf("got %v, %v, want %v", got, ok, c.want)
			}
		})
	}
}

func TestEventsSayWhenAFailoverBeginsAndEnds(t *testing.T) {
	const current, replica = "s1 10.0.0.1 6379", "slave 10.0.0.2:6379 10.0.0.2 6379 @ "
	for _, c := range []struct {
		channel, payload string
		want             turn
	}{
		{"+try-failover", "master " + current, begins},
		{"+elected-leader", "master " + current, begins},
		{"+failover-state-select-slave", "master " + current, begins},
		{"+selected-slave", replica + current, begins},
		{"+failover-state-send-slaveof-noone", replica + current, begins},
		{"+promoted-slave", replica + current, begins},
		{"+try-failover", "master s2 10.0.0.1 6379", nothing},
		{"+try-failover", "master s1 10.0.0.9 6379", look}, // the events of one that is done
		{"+failover-state-reconf-slaves", "master s1 10.0.0.9 6379", look},
		{"-failover-abort-not-elected", "master " + current, look}, // nobody has begun
		{"+sdown", "master " + current, look},
		{"+switch-master", "s1 10.0.0.1 6379 10.0.0.2 6379", look},
		{"+switch-master", "s2 10.0.0.1 6379 10.0.0.2 6379", nothing},
		{"+tilt", "#tilt mode entered", look},
		{"+vote-for-leader", "aab7883b9a0482c5bed73dfa94da764450267a20 1", look},
		{"+sentinel", "sentinel aab7883b 10.0.0.7 26379 @ " + current, look},
		{"+try-failover", "master", nothing},
		{"+try-failover", "", nothing},
		{"+promoted-slave", " @ ", nothing},
	} {
		v := votesOf(said{serverA, 3})
		if got := v.heard("sentinel0", c.channel, c.payload); got != c.want {
			t.Errorf("%s %s: got %d, want %d", c.channel, c.payload, got, c.want)
		}
	}
}

func TestFailoverIsCalledOffWhenAllWhoTryHaveGivenUp(t *testing.T) {
	v := votesOf(said{serverA, 3})
	const master = "master s1 10.0.0.1 6379"
	for _, step := range []struct {
		sentinel, channel string
		want              turn
	}{
		{"sentinel0", "+try-failover", begins},
		{"sentinel1", "+try-failover", begins},
		{"sentinel0", "-failover-abort-not-elected", look},
		{"sentinel2", "-failover-abort-not-elected", look},
		{"sentinel1", "-failover-abort-no-good-slave", calledOff},
		{"sentinel1", "-failover-abort-no-good-slave", look},
		{"sentinel1", "+try-failover", begins},
	} {
		if got := v.heard(step.sentinel, step.channel, master); got != step.want {
			t.Errorf("%s from %s: got %d, want %d", step.channel, step.sentinel, got, step.want)
		}
	}
}

// After SENTINEL REMOVE and MONITOR, epochs begin at 0 again.
func TestSentinelsThatWereSetUpAnewAreBelievedInTheEnd(t *testing.T) {
	for _, c := range []struct {
		what    string
		left    bool // B was switched away from
		demoted bool
		answers []said
		want    bool
	}{
		{"all name another", false, false, []said{{serverB, 0}, {serverB, 0}, {serverB, 0}}, true},
		{"most answer and all of them name another", false, false, []said{{serverB, 0}, {serverB, 0}}, true},
		{"a minority names another", false, false, []said{{serverB, 0}}, false},
		{"one still names the current one", false, false, []said{{serverB, 0}, {serverB, 0}, {serverA, 3}}, false},
		{"they differ", false, false, []said{{serverB, 0}, {serverB, 1}, {serverB, 0}}, false},
		{"it is one that was left", true, false, []said{{serverB, 0}, {serverB, 0}, {serverB, 0}}, false},
		{"it is one that was left, and the current one is a replica", true, true, []said{{serverB, 2}, {serverB, 2}, {serverB, 2}}, true},
		{"they name the current one", false, false, []said{{serverA, 0}, {serverA, 0}, {serverA, 0}}, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			v := votesOf(said{}, c.answers...)
			if c.left {
				v.adopt(said{serverB, 2})
			}
			v.adopt(said{serverA, 3})
			for range strayTicks - 1 {
				if _, ok := v.tick(c.demoted); ok {
					t.Fatal("believed too early")
				}
			}
			if got, ok := v.tick(c.demoted); ok != c.want || ok && got.addr != serverB {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
}

func TestSentinelsThatForgotTheNameMayBeginAnew(t *testing.T) {
	v := votesOf(said{serverA, 3}, said{}, said{}, said{serverA, 3})
	v.tick(false)
	v.answered("sentinel0", said{serverB, 0})
	v.answered("sentinel1", said{serverB, 0})
	if got, ok := v.target(true); !ok || got.addr != serverA {
		t.Errorf("while one still has the old configuration: got %v, %v", got, ok)
	}
	v.answered("sentinel2", said{serverB, 0})
	if got, ok := v.target(true); !ok || got.addr != serverB {
		t.Errorf("got %v, %v", got, ok)
	}
}

// FuzzVotes plays any history of answers and events: epochs never go back but by
// tick, and nothing that is followed had not been named.
func FuzzVotes(f *testing.F) {
	f.Add([]byte("answers in any order\x00\x01\x02\x03"), "+try-failover", "master s1 10.0.0.1 6379")
	f.Add([]byte{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, "-failover-abort-x", "slave x 1 2 @ s1 10.0.0.2 6379")
	f.Fuzz(func(t *testing.T, steps []byte, channel, payload string) {
		v := votesOf(said{})
		servers := []string{"", serverA, serverB, serverC}
		named := map[said]bool{}
		for i, b := range steps {
			sentinel := fmt.Sprint("sentinel", b%3)
			switch b >> 5 {
			case 0:
				v.silent(sentinel)
			case 1:
				v.heard(sentinel, channel, payload)
			case 2:
				if s, ok := v.tick(b&1 == 1); ok {
					if !named[s] {
						t.Fatalf("step %d: nobody named %v", i, s)
					}
					v.adopt(s)
				}
			default:
				s := said{servers[b/3%4], int64(b / 12 % 4)}
				named[s] = true
				v.answered(sentinel, s)
			}
			if s, ok := v.target(b&1 == 1); ok {
				if !named[s] || s.epoch <= v.floor {
					t.Fatalf("step %d: %v after epoch %d", i, s, v.floor)
				}
				v.adopt(s)
			}
			if v.left[v.current.addr] {
				t.Fatalf("step %d: %v was left", i, v.current)
			}
		}
		if name, addr := subject(channel, payload); strings.ContainsAny(name, " \t") || name == "" && addr != "" {
			t.Fatalf("subject %q, %q", name, addr)
		}
	})
}
