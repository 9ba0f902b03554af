package hatest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"ringway/internal/redistest"
)

// instance is one of several Ringways behind a load balancer.
type instance struct {
	text string // its configuration
	*redistest.Process
}

// balancer is a HAProxy in front of instances.
type balancer struct {
	addr, socket string
}

// balance starts HAProxy, as docs/operations.md configures it, in front of addresses.
func balance(t *testing.T, addrs []string) *balancer {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("haproxy is not installed")
	}
	dir := t.TempDir()
	b := &balancer{addr: fmt.Sprint("127.0.0.1:", redistest.FreePort(t)), socket: filepath.Join(dir, "s")}
	text := fmt.Sprintf("global\n stats socket %s\ndefaults\n mode tcp\n option redispatch\n timeout connect 5s\n timeout client 1h\n timeout server 1h\nlisten redis\n bind %s\n balance leastconn\n option redis-check\n", b.socket, b.addr)
	for i, addr := range addrs {
		text += fmt.Sprintf(" server r%d %s check inter 100ms fall 2 rise 1\n", i, addr)
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	redistest.StartProcess(t, path, "-db", "-f", file)
	return b
}

// awaitUp waits until the balancer sends clients to an instance.
func (b *balancer) awaitUp(t *testing.T, i int) {
	t.Helper()
	redistest.Eventually(t, time.Minute, "HAProxy sees the instance", func() bool {
		conn, err := net.Dial("unix", b.socket)
		if err != nil {
			return false
		}
		defer conn.Close()
		fmt.Fprintln(conn, "show stat")
		lines, _ := io.ReadAll(conn)
		for line := range strings.SplitSeq(string(lines), "\n") {
			if strings.HasPrefix(line, fmt.Sprintf("redis,r%d,", i)) {
				return strings.Contains(line, ",UP,")
			}
		}
		return false
	})
}

// Instances behind HAProxy are restarted one after the other, and clients of go-redis see no error: neither those with
// its defaults, which are told MOVING and connect again before their connections are closed, nor those that do not ask for that.
func TestRollingRestartBehindHAProxy(t *testing.T) {
	redistest.SkipShort(t)
	rounds := 1
	if os.Getenv("RINGWAY_LONG") != "" {
		rounds = 5
	}
	server := redistest.StartN(t, 1)[0]
	var instances []*instance
	var addrs []string
	for range 2 {
		addrs = append(addrs, fmt.Sprint("127.0.0.1:", redistest.FreePort(t)))
		text := fmt.Sprintf("[proxy]\nthreads = 1\ndrain_delay = \"1s\"\ndrain_timeout = \"8s\"\n[pools.alpha]\nlisten = %q\nservers = [%q]\n", addrs[len(addrs)-1], server.Addr()+" s")
		instances = append(instances, &instance{text, runProgram(t, text)})
	}
	front := balance(t, addrs)
	for i := range instances {
		front.awaitUp(t, i)
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var requests atomic.Int64
	for i := range 8 {
		options := &redis.Options{Addr: front.addr}
		if i%2 == 1 {
			options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		}
		client := redis.NewClient(options)
		t.Cleanup(func() { client.Close() })
		for j := range 4 {
			clients.Go(func() {
				ctx, key := context.Background(), fmt.Sprintf("k%d-%d", i, j)
				pause := time.NewTicker(5 * time.Millisecond)
				defer pause.Stop()
				for n := int64(1); ; n++ {
					select {
					case <-stop:
						return
					case <-pause.C:
					}
					if got, err := client.Incr(ctx, key).Result(); err != nil || got != n {
						t.Errorf("client %d: %d, %v, want %d", i, got, err, n)
						return
					}
					requests.Add(1)
				}
			})
		}
	}
	redistest.Eventually(t, time.Minute, "all clients are at work", func() bool { return requests.Load() > 320 })
	drained := 0
	for range rounds {
		for i, in := range instances {
			in.Signal(syscall.SIGTERM)
			<-in.Exited()
			drained += strings.Count(in.Output(), "msg=stopped")
			in.Process = runProgram(t, in.text)
			front.awaitUp(t, i)
		}
	}
	close(stop)
	clients.Wait()
	if drained != rounds*len(instances) {
		t.Errorf("%d instances have drained, want %d", drained, rounds*len(instances))
	}
	t.Logf("%d requests", requests.Load())
}
