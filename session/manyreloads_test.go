package session_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/server"
)

// reloaded is a proxy that is reloaded again and again, without a key that moves.
type reloaded struct {
	*proxy
	servers []*redistest.Server
	dir     string // of the links to their sockets by which the proxy knows them
	beta    string // where the second pool listens
	done    int
}

// step makes one more reload: in turn a server has another address under its name, timeouts change, and a pool comes
// and goes. Each server has two addresses in turn: the proxy never forgets one, see docs/reload.md.
func (r *reloaded) step() {
	r.t.Helper()
	now := *r.server.Conf()
	now.Pools = append([]conf.Pool(nil), now.Pools...)
	alpha := &now.Pools[0]
	switch r.done % 4 {
	case 0:
		alpha.Servers = append([]conf.Server(nil), alpha.Servers...)
		s := &alpha.Servers[r.done/4%len(r.servers)]
		s.Addr = filepath.Join(r.dir, fmt.Sprint(s.Name, "-", r.done/4/len(r.servers)%2))
	case 1:
		alpha.Timeout = 30*time.Second + time.Duration(r.done)*time.Millisecond
		alpha.ConnectTimeout = alpha.Timeout
	case 2:
		beta := *alpha
		beta.Name, beta.Listen.Addr = "beta", r.beta
		now.Pools = append(now.Pools, beta)
	case 3:
		now.Pools = now.Pools[:1]
	}
	changes, err := r.server.Reload(&now, server.ReloadOptions{})
	if err != nil || len(changes) == 0 {
		r.t.Fatalf("reload %d: %d changes, %v", r.done, len(changes), err)
	}
	r.done++
}

// under makes reloads while clients send requests, and returns how many requests those were. Each client has one
// connection and reads back what it has written.
func (r *reloaded) under(clients []*raw, reloads int) int64 {
	var requests atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				key, value := fmt.Sprintf("%d-%d", i, n%100), fmt.Sprintf("%06d", n%1e6)
				for _, q := range []struct{ want, request string }{
					{"+OK\r\n", "SET " + key + " " + value}, {"$6\r\n" + value + "\r\n", "GET " + key},
					{"*2\r\n$6\r\n" + value + "\r\n$-1\r\n", "MGET " + key + " none"}, {":1\r\n", "EXISTS " + key + " none"},
				} {
					if got := c.Do(strings.Fields(q.request)...); got != q.want {
						r.t.Errorf("%s: got %q, want %q", q.request, got, q.want)
						return
					}
					requests.Add(1)
				}
			}
		})
	}
	for range reloads {
		before := requests.Load()
		r.step()
		eventually(r.t, "requests after the reload", func() bool { return requests.Load() > before+100 || r.t.Failed() })
	}
	stop.Store(true)
	wg.Wait()
	return requests.Load()
}

// liveHeap returns how many bytes are in use after a garbage collection.
func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools kept over the first
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// However often a proxy is reloaded, no request fails, no client is closed, nothing that was written is missing, and
// memory and descriptors are as before.
func TestManyReloadsLeaveNothingBehind(t *testing.T) {
	servers := redistest.StartN(t, 3, redistest.UnixSocket())
	r := &reloaded{servers: servers, dir: t.TempDir(), beta: redistest.FreeAddr(t)}
	cfg := config(t, addrs(servers)...)
	for i := range cfg.Pools[0].Servers {
		s := &cfg.Pools[0].Servers[i]
		for n := range 2 {
			if err := os.Symlink(servers[i].Socket(), filepath.Join(r.dir, fmt.Sprint(s.Name, "-", n))); err != nil {
				t.Fatal(err)
			}
		}
		s.Network, s.Addr = "unix", filepath.Join(r.dir, s.Name+"-1")
	}
	r.proxy = serveLog(t, cfg, io.Discard) // a log that is kept would count as memory
	var clients []*raw
	for range 8 {
		clients = append(clients, r.dial())
	}
	r.under(clients, 24) // every server has been at both addresses, and what is made once is made
	files, heap := openFiles(), liveHeap()
	reloads := rounds(50) / 4 * 4
	requests := r.under(clients, reloads)
	eventually(t, "the descriptors that there were", func() bool { return openFiles() <= files })
	after := liveHeap()
	t.Logf("%d reloads, %d requests; heap %d KiB before, %d KiB after", reloads, requests, heap>>10, after>>10)
	if after > heap+1<<20 { // tables of keys and slow requests still fill
		t.Errorf("the heap has grown from %d KiB to %d KiB", heap>>10, after>>10)
	}
}
