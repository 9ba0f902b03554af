package session_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringway/internal/redistest"
)

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("channel:%07d", i)
	}
	return names
}

// subscribeTo sends a request about names and reads its confirmations.
func (c *raw) subscribeTo(word string, names []string) {
	c.t.Helper()
	c.Send(encode(append([]string{word}, names...)...))
	for i := range names {
		if got := c.Reply(); !strings.Contains(got, names[i]) {
			c.t.Fatalf("confirmation %d: %q", i, got)
		}
	}
}

// processorTime is what the process has used so far, the proxy and its clients alike. It
// does not grow while others have the processors.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// What one request costs grows with what it is about, and no faster.
func TestManySubscriptionsCostWhatTheyAre(t *testing.T) {
	redistest.SkipShort(t)
	p, _ := serveShards(t, 1)
	took := func(n int) time.Duration {
		names := manyNames(n)
		c := p.dial()
		defer c.Close()
		began := processorTime(t)
		c.subscribeTo("SUBSCRIBE", names)
		c.subscribeTo("SUBSCRIBE", names)
		c.subscribeTo("UNSUBSCRIBE", names)
		return processorTime(t) - began
	}
	took(1000)
	few, many := max(took(2000), 5*time.Millisecond), took(40000)
	if many > 100*few {
		t.Errorf("2,000 subscriptions took %v, 40,000 took %v", few, many)
	}
}

// Neighbours are served while a request for many names is under way.
func TestNeighboursDoNotWaitForManySubscriptions(t *testing.T) {
	redistest.SkipShort(t)
	p, _ := serveShards(t, 1)
	for _, word := range []string{"SUBSCRIBE", "UNSUBSCRIBE", "SSUBSCRIBE"} { // for each pattern, Redis 7.0 itself looks through all
		const n = 30000
		c, neighbour := p.dial(), p.dial()
		if word == "UNSUBSCRIBE" {
			c.subscribeTo("SUBSCRIBE", manyNames(n))
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.subscribeTo(word, manyNames(n))
		}()
		answered := 0
		for ended := false; !ended; {
			select {
			case <-done:
				ended = true
			default:
				neighbour.Do("PING")
				answered++
			}
		}
		if answered < 4 {
			t.Errorf("%s of %d names: a neighbour got %d replies meanwhile", word, n, answered)
		}
		c.Close()
	}
}

// Whatever comes in the middle of a request for many names, all are left.
func TestClientThatLeavesWhileItSubscribes(t *testing.T) {
	redistest.SkipShort(t)
	p, servers := serveShards(t, 1)
	for range 5 {
		c := p.dial()
		c.Send(encode(append([]string{"SUBSCRIBE"}, manyNames(20000)...)...))
		c.Close()
	}
	other := p.dial()
	other.subscribeTo("SUBSCRIBE", manyNames(300))
	eventuallyForgotten(t, servers[0], 300)
	other.Do("RESET")
	eventuallyForgotten(t, servers[0], 0)
	if got := other.Do("GET", "k"); got != "$-1\r\n" {
		t.Errorf("after RESET: %q", got)
	}
}

// A message on a channel that is confirmed comes behind the confirmations, though
// other channels of the request are waited for.
func TestMessagesBehindConfirmations(t *testing.T) {
	p, _ := serveShards(t, 1)
	c, pub := p.dial(), p.dial()
	names := manyNames(5000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if pub.Do("PUBLISH", names[0], "x") == ":1\r\n" {
				return
			}
		}
	}()
	c.subscribeTo("SUBSCRIBE", names)
	c.expect(message("message", names[0], "x"))
	<-done
}

func TestLongNamesAreRefused(t *testing.T) {
	p, _ := serveShards(t, 1)
	c := p.dial()
	long := strings.Repeat("n", 64<<10)
	for _, word := range []string{"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE"} {
		if got := c.Do(word, long+"n"); got != "-ERR channel or pattern is longer than 65536 bytes\r\n" {
			t.Errorf("%s: %q", word, got)
		}
	}
	c.Send(encode("SUBSCRIBE", long))
	c.expect(subscribed("subscribe", long, 1))
}

// eventuallyForgotten waits until a server has so many channels.
func eventuallyForgotten(t *testing.T, s *redistest.Server, channels int) {
	t.Helper()
	redistest.Eventually(t, pubsubPatience, fmt.Sprintf("%d channels are left", channels), func() bool {
		return strings.HasPrefix(s.Do("PUBSUB", "CHANNELS"), fmt.Sprintf("*%d\r\n", channels))
	})
}

func withPrefixes(n int, prefix string) []string {
	args := []string{"CLIENT", "TRACKING", "ON", "BCAST"}
	for i := range n {
		args = append(args, "PREFIX", fmt.Sprintf("%s%06d:", prefix, i))
	}
	return args
}

// Prefixes of CLIENT TRACKING cost what they are, to name them and when keys change.
func TestManyPrefixesCostWhatTheyAre(t *testing.T) {
	p, _ := serveShards(t, 1)
	took := func(n int) time.Duration {
		c := p.dial()
		defer c.Close()
		c.Do("HELLO", "3")
		began := time.Now()
		for _, first := range []string{"a", "b"} {
			c.Send(encode(withPrefixes(n, first)...))
			c.expect("+OK\r\n")
		}
		for range 100 {
			c.Send(encode("SET", "b000001:x", "1"))
			c.expect("+OK\r\n", invalidation("b000001:x"))
		}
		return time.Since(began)
	}
	took(100)
	few, many := max(took(2000), 20*time.Millisecond), took(40000)
	if many > 100*few {
		t.Errorf("2,000 prefixes took %v, 40,000 took %v", few, many)
	}
}

func TestPrefixesOverlap(t *testing.T) {
	p, _ := serveShards(t, 1)
	c := p.dial()
	f := func(want string, prefixes ...string) {
		t.Helper()
		args := []string{"CLIENT", "TRACKING", "ON", "BCAST"}
		for _, prefix := range prefixes {
			args = append(args, "PREFIX", prefix)
		}
		if got := c.Do(args...); got != want {
			t.Errorf("%q: %q, want %q", prefixes, got, want)
		}
	}
	const alone = ". Prefixes for a single client must not overlap.\r\n"
	f("-ERR Prefix 'b' overlaps with another provided prefix 'bc'"+alone, "a", "bc", "c", "b")
	f("+OK\r\n", "d", "b", "f")
	f("-ERR Prefix 'b1' overlaps with an existing prefix 'b'"+alone, "c", "b1")
	f("-ERR Prefix 'f' overlaps with an existing prefix 'f'"+alone, "f")
	f("-ERR Prefix '' overlaps with an existing prefix 'b'"+alone, "")
	f("+OK\r\n", "a", "c", "e", "g")
	f("-ERR prefix is longer than 65536 bytes\r\n", strings.Repeat("x", 65537))
}

// What is forgotten since more keys are read than may be noted is told behind the reply
// to the request that reads them.
func TestKeysBeyondTheLimitAreInvalidatedBehindTheReply(t *testing.T) {
	cfg := config(t, addrs(redistest.StartN(t, 1))...)
	cfg.Proxy.TrackingKeys = 3
	c := serve(t, cfg).dial()
	c.Do("HELLO", "3")
	c.Do("CLIENT", "TRACKING", "ON")
	for range 20 {
		c.Send(encode("MGET", "a", "b", "c", "d"))
		if got := c.Reply(); got[0] != '*' {
			t.Fatalf("%q before the reply", got)
		}
		if got := c.Reply(); !strings.HasPrefix(got, ">2\r\n$10\r\ninvalidate\r\n*1\r\n") {
			t.Fatalf("%q, want an invalidation", got)
		}
	}
	c.Send(encode("GET", strings.Repeat("k", 65537)))
	c.expect("_\r\n", flushed) // too long to be noted
}
