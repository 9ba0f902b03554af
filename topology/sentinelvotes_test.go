package topology

import (
	"fmt"
	"strings"
	"testing"
)

// The servers that a test's Sentinels name.
const (
	serverA = "10.0.0.1:6379"
	serverB = "10.0.0.2:6379"
	serverC = "10.0.0.3:6379"
)

// votesOf returns the votes of three Sentinels on a master that is followed as
// said, or not at all.
func votesOf(current masterConfig, answers ...masterConfig) *votes {
	v := newVotes("s1")
	v.sentinels = 3
	if current.addr != "" {
		v.adopt(current)
	}
	for i, s := range answers {
		v.setAnswer(fmt.Sprint("sentinel", i), s)
	}
	return v
}

func TestNewestConfigurationIsFollowed(t *testing.T) {
	none := masterConfig{}
	for _, c := range []struct {
		what      string
		current   masterConfig
		graceOver bool
		answers   []masterConfig
		want      masterConfig
	}{
		{"all agree at the start", none, false, []masterConfig{{serverA, 3}, {serverA, 3}, {serverA, 3}}, masterConfig{serverA, 3}},
		{"most have answered at the start", none, false, []masterConfig{{serverA, 0}, {serverA, 0}}, masterConfig{serverA, 0}},
		{"one has answered at the start", none, false, []masterConfig{{serverA, 3}}, none},
		{"only one answers at the start", none, true, []masterConfig{{serverA, 3}}, masterConfig{serverA, 3}},
		{"one is newer at the start", none, false, []masterConfig{{serverA, 3}, {serverB, 4}, {serverA, 3}}, masterConfig{serverB, 4}},
		{"most count where epochs are equal", none, false, []masterConfig{{serverA, 0}, {serverB, 0}, {serverB, 0}}, masterConfig{serverB, 0}},
		{"nobody counts where as many say so", none, true, []masterConfig{{serverA, 0}, {serverB, 0}}, none},
		{"the name is unknown", none, true, []masterConfig{none, none, none}, none},
		{"some do not know the name", none, true, []masterConfig{none, {serverA, 1}, none}, masterConfig{serverA, 1}},
		{"nothing has changed", masterConfig{serverA, 3}, true, []masterConfig{{serverA, 3}, {serverA, 3}, {serverA, 3}}, none},
		{"a leader is ahead", masterConfig{serverA, 3}, true, []masterConfig{{serverA, 3}, {serverB, 4}, {serverA, 3}}, masterConfig{serverB, 4}},
		{"the others are behind", masterConfig{serverB, 4}, true, []masterConfig{{serverA, 3}, {serverB, 4}, {serverA, 3}}, none},
		{"all that answer are behind", masterConfig{serverB, 4}, true, []masterConfig{{serverA, 3}, {serverA, 3}}, none},
		{"another address is as old", masterConfig{serverA, 3}, true, []masterConfig{{serverB, 3}, {serverB, 3}, {serverB, 3}}, none},
		{"the same address is newer", masterConfig{serverA, 3}, true, []masterConfig{{serverA, 5}, {serverA, 3}, {serverA, 3}}, masterConfig{serverA, 5}},
		{"nobody answers", masterConfig{serverA, 3}, true, nil, none},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, ok := votesOf(c.current, c.answers...).target(c.graceOver)
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
		want             eventMeaning
	}{
		{"+try-failover", "master " + current, eventFailover},
		{"+elected-leader", "master " + current, eventFailover},
		{"+failover-state-select-slave", "master " + current, eventFailover},
		{"+selected-slave", replica + current, eventFailover},
		{"+failover-state-send-slaveof-noone", replica + current, eventFailover},
		{"+promoted-slave", replica + current, eventFailover},
		{"+try-failover", "master s2 10.0.0.1 6379", eventIrrelevant},
		{"+try-failover", "master s1 10.0.0.9 6379", eventPoll}, // the events of one that is done
		{"+failover-state-reconf-slaves", "master s1 10.0.0.9 6379", eventPoll},
		{"-failover-abort-not-elected", "master " + current, eventPoll}, // nobody has begun
		{"+sdown", "master " + current, eventPoll},
		{"+switch-master", "s1 10.0.0.1 6379 10.0.0.2 6379", eventPoll},
		{"+switch-master", "s2 10.0.0.1 6379 10.0.0.2 6379", eventIrrelevant},
		{"+tilt", "#tilt mode entered", eventPoll},
		{"+vote-for-leader", "aab7883b9a0482c5bed73dfa94da764450267a20 1", eventPoll},
		{"+sentinel", "sentinel aab7883b 10.0.0.7 26379 @ " + current, eventPoll},
		{"+try-failover", "master", eventIrrelevant},
		{"+try-failover", "", eventIrrelevant},
		{"+promoted-slave", " @ ", eventIrrelevant},
	} {
		v := votesOf(masterConfig{serverA, 3})
		if got := v.onEvent("sentinel0", c.channel, c.payload); got != c.want {
			t.Errorf("%s %s: got %d, want %d", c.channel, c.payload, got, c.want)
		}
	}
}

func TestFailoverIsCalledOffWhenAllWhoTryHaveGivenUp(t *testing.T) {
	v := votesOf(masterConfig{serverA, 3})
	const master = "master s1 10.0.0.1 6379"
	for _, step := range []struct {
		sentinel, channel string
		want              eventMeaning
	}{
		{"sentinel0", "+try-failover", eventFailover},
		{"sentinel1", "+try-failover", eventFailover},
		{"sentinel0", "-failover-abort-not-elected", eventPoll},
		{"sentinel2", "-failover-abort-not-elected", eventPoll},
		{"sentinel1", "-failover-abort-no-good-slave", eventAborted},
		{"sentinel1", "-failover-abort-no-good-slave", eventPoll},
		{"sentinel1", "+try-failover", eventFailover},
	} {
		if got := v.onEvent(step.sentinel, step.channel, master); got != step.want {
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
		answers []masterConfig
		want    bool
	}{
		{"all name another", false, false, []masterConfig{{serverB, 0}, {serverB, 0}, {serverB, 0}}, true},
		{"most answer and all of them name another", false, false, []masterConfig{{serverB, 0}, {serverB, 0}}, true},
		{"a minority names another", false, false, []masterConfig{{serverB, 0}}, false},
		{"one still names the current one", false, false, []masterConfig{{serverB, 0}, {serverB, 0}, {serverA, 3}}, false},
		{"they differ", false, false, []masterConfig{{serverB, 0}, {serverB, 1}, {serverB, 0}}, false},
		{"it is one that was left", true, false, []masterConfig{{serverB, 0}, {serverB, 0}, {serverB, 0}}, false},
		{"it is one that was left, and the current one is a replica", true, true, []masterConfig{{serverB, 2}, {serverB, 2}, {serverB, 2}}, true},
		{"they name the current one", false, false, []masterConfig{{serverA, 0}, {serverA, 0}, {serverA, 0}}, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			v := votesOf(masterConfig{}, c.answers...)
			if c.left {
				v.adopt(masterConfig{serverB, 2})
			}
			v.adopt(masterConfig{serverA, 3})
			for range resetTicks - 1 {
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
	v := votesOf(masterConfig{serverA, 3}, masterConfig{}, masterConfig{}, masterConfig{serverA, 3})
	v.tick(false)
	v.setAnswer("sentinel0", masterConfig{serverB, 0})
	v.setAnswer("sentinel1", masterConfig{serverB, 0})
	if got, ok := v.target(true); !ok || got.addr != serverA {
		t.Errorf("while one still has the old configuration: got %v, %v", got, ok)
	}
	v.setAnswer("sentinel2", masterConfig{serverB, 0})
	if got, ok := v.target(true); !ok || got.addr != serverB {
		t.Errorf("got %v, %v", got, ok)
	}
}

// FuzzVotes plays any history of answers and events: epochs go back only by tick, and only
// configurations that a Sentinel has named are followed.
func FuzzVotes(f *testing.F) {
	f.Add([]byte("answers in any order\x00\x01\x02\x03"), "+try-failover", "master s1 10.0.0.1 6379")
	f.Add([]byte{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, "-failover-abort-x", "slave x 1 2 @ s1 10.0.0.2 6379")
	f.Fuzz(func(t *testing.T, steps []byte, channel, payload string) {
		v := votesOf(masterConfig{})
		servers := []string{"", serverA, serverB, serverC}
		named := map[masterConfig]bool{}
		for i, b := range steps {
			sentinel := fmt.Sprint("sentinel", b%3)
			switch b >> 5 {
			case 0:
				v.dropAnswer(sentinel)
			case 1:
				v.onEvent(sentinel, channel, payload)
			case 2:
				if s, ok := v.tick(b&1 == 1); ok {
					if !named[s] {
						t.Fatalf("step %d: nobody named %v", i, s)
					}
					v.adopt(s)
				}
			default:
				s := masterConfig{servers[b/3%4], int64(b / 12 % 4)}
				named[s] = true
				v.setAnswer(sentinel, s)
			}
			if s, ok := v.target(b&1 == 1); ok {
				if !named[s] || s.epoch <= v.epochFloor {
					t.Fatalf("step %d: %v after epoch %d", i, s, v.epochFloor)
				}
				v.adopt(s)
			}
			if v.former[v.current.addr] {
				t.Fatalf("step %d: %v was left", i, v.current)
			}
		}
		if name, addr := subject(channel, payload); strings.ContainsAny(name, " \t") || name == "" && addr != "" {
			t.Fatalf("subject %q, %q", name, addr)
		}
	})
}
