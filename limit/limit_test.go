package limit

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func newPool(c PoolSettings) *Pool {
	if c.Prefix4 == 0 {
		c.Prefix4, c.Prefix6 = 32, 64
	}
	return NewPool(&c, slog.New(slog.DiscardHandler))
}

// Loops that take as much as they can get together get the rate, and what gathers in a second.
func TestLoopsTogetherGetTheRate(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{3, 100, 100_000} {
		g := newPool(PoolSettings{Pool: Settings{Requests: rate}}).All()
		const loops = 4
		var wg sync.WaitGroup
		var mu sync.Mutex
		total := 0
		start := time.Now()
		for range loops {
			wg.Go(func() {
				s, n := NewShare(g), 0
				for time.Since(start) < 300*time.Millisecond {
					got, what := s.Admit(64)
					if got == 0 {
						time.Sleep(min(s.Wait(what), 20*time.Millisecond))
						continue
					}
					s.Charge(got, 0)
					n += got
				}
				s.Close()
				mu.Lock()
				defer mu.Unlock()
				total += n
			})
		}
		wg.Wait()
		most := float64(rate) * (time.Since(start).Seconds() + 1)
		if float64(total) > most+1 || float64(total) < float64(rate) {
			t.Errorf("rate %d: %d requests in %v, want at most %.0f", rate, total, time.Since(start), most)
		}
	}
}

// What was too much is waited for by all loops.
func TestDebtIsEverybodys(t *testing.T) {
	t.Parallel()
	g := newPool(PoolSettings{Pool: Settings{Bytes: 1 << 20}}).All()
	a, b := NewShare(g), NewShare(g)
	if n, _ := a.Admit(1); n != 1 {
		t.Fatal("a new share is refused")
	}
	a.Charge(1, 100<<20)
	for _, s := range []*Share{a, b} {
		n, what := s.Admit(1)
		if wait := s.Wait(what); n != 0 || what != Bytes || wait < 90*time.Second || wait > 101*time.Second {
			t.Errorf("%d, %v, waits %v", n, what, wait)
		}
	}
}

// Tokens and slots that a loop does not use go back to the others.
func TestIdleSharesGiveBack(t *testing.T) {
	t.Parallel()
	g := newPool(PoolSettings{Pool: Settings{Requests: 1000, UnderWay: 10}}).All()
	a, b := NewShare(g), NewShare(g)
	if n, _ := a.Admit(64); n != 5 {
		t.Errorf("%d admitted, want a lease of 5", n)
	}
	a.Charge(1, 0)
	a.UnderWay = 2
	a.Tick()
	if n := g.underWay.Load(); n != 2 {
		t.Errorf("%d slots are taken, want 2", n)
	}
	b.requests = 1 << 20
	b.Admit(64)
	if n, what := a.Admit(64); n != 0 || what != UnderWay {
		t.Errorf("%d, %v: all slots are the other loop's", n, what)
	}
	b.requests = 0
	b.Close()
	before := g.requests.at.Load()
	a.Tick()
	if a.requests != 0 || g.requests.at.Load() >= before {
		t.Errorf("an idle loop keeps %d tokens", a.requests)
	}
	if n, _ := a.Admit(64); n == 0 {
		t.Error("nothing is left")
	}
	a.UnderWay = 0
	a.Close()
	if n := g.underWay.Load(); n != 0 {
		t.Errorf("%d slots are taken by nobody", n)
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	p := newPool(PoolSettings{Networks: Settings{Connections: 2}, Prefix4: 24, Prefix6: 64})
	join := func(addr string) bool {
		_, ok := p.JoinNetwork(netip.MustParseAddr(addr), false)
		return ok
	}
	for _, c := range []struct {
		addr string
		want bool
	}{
		{"10.0.0.1", true}, {"::ffff:10.0.0.2", true}, {"10.0.0.3", false}, {"10.0.1.1", true},
		{"2001:db8::1", true}, {"2001:db8::2", true}, {"2001:db8:0:0:ffff::", false}, {"2001:db8:0:1::", true}, {"fe80::1%eth0", true},
	} {
		if got := join(c.addr); got != c.want {
			t.Errorf("%s: %t", c.addr, got)
		}
	}
	p.Network(netip.MustParseAddr("10.0.0.9")).Leave()
	if !join("10.0.0.3") {
		t.Error("refused after another has left")
	}
	if g := p.Network(netip.Addr{}); g != nil {
		t.Error("no address has limits")
	}
}

// However many networks come, few are remembered, and none that has clients is forgotten.
func TestNetworksAreBounded(t *testing.T) {
	t.Parallel()
	p := newPool(PoolSettings{Networks: Settings{NewConnections: 1}})
	first, _ := p.JoinNetwork(netip.MustParseAddr("10.0.0.1"), false)
	for i := range 3 * MaxNetworks {
		p.Network(netip.MustParseAddr(fmt.Sprintf("11.%d.%d.%d", i>>16, i>>8&255, i&255))).Arrive()
	}
	if n := len(p.networks); n > MaxNetworks {
		t.Errorf("%d networks", n)
	}
	if p.Network(netip.MustParseAddr("10.0.0.1")) != first {
		t.Error("a network with a client was forgotten")
	}
}

func TestArrivalsWait(t *testing.T) {
	t.Parallel()
	g := newPool(PoolSettings{Pool: Settings{NewConnections: 10}}).All()
	for i := range 10 {
		if wait := g.Arrive(); wait > 0 {
			t.Errorf("client %d waits %v", i, wait)
		}
	}
	for i := range 3 {
		if wait, want := g.Arrive(), time.Duration(i+1)*100*time.Millisecond; wait > want || wait < want-90*time.Millisecond {
			t.Errorf("client %d waits %v, want %v", 10+i, wait, want)
		}
	}
}

// Whatever comes, networks with wrong passwords are few, and logins from others do not wait.
func TestFailingNetworksAreBounded(t *testing.T) {
	t.Parallel()
	p := newPool(PoolSettings{})
	for i := range 2 * maxFailing {
		p.WrongPassword(netip.MustParseAddr(fmt.Sprintf("11.%d.%d.%d", i>>16, i>>8&255, i&255)))
	}
	if n := len(p.failing); n > maxFailing {
		t.Errorf("%d networks", n)
	}
	bad, good := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:0:1::1")
	for range freeFailures {
		p.WrongPassword(bad)
	}
	var last time.Duration
	for {
		wait, ok := p.Login(netip.MustParseAddr("2001:db8::2"))
		if !ok {
			break
		}
		last = wait
	}
	if last < longestLogin-100*time.Millisecond || last > longestLogin {
		t.Errorf("the last login waits %v", last)
	}
	for _, addr := range []netip.Addr{good, {}} {
		if wait, ok := p.Login(addr); wait > 0 || !ok {
			t.Errorf("%v waits %v, %t", addr, wait, ok)
		}
	}
}
