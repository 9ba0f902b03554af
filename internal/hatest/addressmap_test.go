package hatest

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// forwarder is the only way to a server, as with NAT.
type forwarder struct {
	addr string

	mu    sync.Mutex // guards the rest
	ports map[string]bool
	conns []net.Conn
	late  time.Duration // what is sent to the server is sent on so much later
	held  chan struct{} // not nil: nothing gets through until it is closed
}

// forward carries connections to target until the test ends.
func forward(t *testing.T, target string) *forwarder {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{addr: ln.Addr().String(), ports: map[string]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			f.mu.Lock()
			f.ports[out.LocalAddr().String()] = true
			f.conns = append(f.conns, in, out)
			f.mu.Unlock()
			wg.Go(func() { f.carry(in, out, false) })
			wg.Go(func() { f.carry(out, in, true) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			c.Close()
		}
		f.mu.Unlock()
		wg.Wait()
	})
	return f
}

// carry carries bytes one way until either end is closed.
func (f *forwarder) carry(to, from net.Conn, delayed bool) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		f.mu.Lock()
		late, held := f.late, f.held
		f.mu.Unlock()
		if held != nil {
			<-held
		}
		if late > 0 && delayed {
			time.Sleep(late)
		}
		if _, errWrite := to.Write(b[:n]); err != nil || errWrite != nil {
			return
		}
	}
}

// delay delays the bytes to the server.
func (f *forwarder) delay(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late = d
}

// hold stops all bytes until resume is called.
func (f *forwarder) hold() (resume func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan struct{})
	f.held = held
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.held = nil
		close(held)
	}
}

// behind starts a forwarder in front of each server, and returns the setting
// address_map for them, and the forwarders.
func behind(t *testing.T, servers ...*redistest.Server) (setting string, all map[*redistest.Server]*forwarder) {
	t.Helper()
	all = map[*redistest.Server]*forwarder{}
	var entries []string
	for _, s := range servers {
		all[s] = forward(t, s.Addr())
		entries = append(entries, fmt.Sprintf("%q = %q", s.Addr(), all[s].addr))
	}
	return "address_map = { " + strings.Join(entries, ", ") + " }", all
}

var clientLine = regexp.MustCompile(`addr=(\S+) .* name=(?:ringway/\S+)? .* flags=N .* cmd=(\S+)`)

// checkForwarded fails the test for each client of a server that did not come through the
// forwarder. It knows Sentinels by their names and replicas by their flags.
func checkForwarded(t *testing.T, all map[*redistest.Server]*forwarder) {
	t.Helper()
	for s, f := range all {
		through := 0
		f.mu.Lock()
		for _, m := range clientLine.FindAllStringSubmatch(s.Do("CLIENT", "LIST"), -1) {
			switch {
			case f.ports[m[1]]:
				through++
			case m[2] != "client|list": // the test's own
				t.Errorf("%s: a connection from %s does not come through the map's address, last command %s", s.Addr(), m[1], m[2])
			}
		}
		f.mu.Unlock()
		if through == 0 {
			t.Errorf("%s: nobody came through the map's address", s.Addr())
		}
	}
}

func TestSentinelsAddressesAreMapped(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	sentinels := redistest.StartSentinels(t, 3, map[string]*redistest.Group{"s1": g})
	replica := g.Replicas[0]
	setting, all := behind(t, g.Primary, replica)
	p := Serve(t, `topology = "sentinel"`, `masters = ["s1"]`, "sentinels"+strings.TrimPrefix(Servers(sentinels...), "servers"), setting)
	load := Load{Clients: 4, Depth: 4, Pause: time.Millisecond}.Start(t, p.Addr)
	load.Progress(50, time.Minute)
	checkForwarded(t, all)
	if got := sentinels[0].Do("SENTINEL", "FAILOVER", "s1"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	redistest.Eventually(t, time.Minute, "the replica is primary", replica.IsPrimary)
	load.Progress(50, time.Minute)
	load.Finish()
	checkForwarded(t, map[*redistest.Server]*forwarder{replica: all[replica]})
}

func TestClustersAddressesAreMapped(t *testing.T) {
	t.Parallel()
	groups := redistest.StartCluster(t, 3, 0)
	setting, all := behind(t, groups[0].Primary, groups[1].Primary, groups[2].Primary)
	seed := fmt.Sprintf("servers = [%q]", all[groups[0].Primary].addr)
	p := Serve(t, `topology = "cluster"`, seed, setting)
	load := Load{Clients: 4, Depth: 4, Pause: time.Millisecond}.Start(t, p.Addr)
	load.Progress(200, time.Minute)
	if report := load.Finish(); len(report.Errors) > 0 {
		t.Errorf("clients got %v", report.Errors)
	}
	checkForwarded(t, all)
}
