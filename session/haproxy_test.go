package session_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// HAProxy, in front of the proxy with both versions of the PROXY protocol, hands its clients' addresses on. Its
// health checks disturb nobody.
func TestBehindHAProxy(t *testing.T) {
	inClear(t)
	t.Parallel()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("haproxy is not installed")
	}
	p := behindBalancer(t)
	text := "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n"
	fronts := map[string]string{}
	for _, how := range []string{"send-proxy", "send-proxy-v2", "send-proxy check inter 50ms", "send-proxy-v2 proxy-v2-options unique-id check inter 50ms check-send-proxy"} {
		fronts[how] = fmt.Sprint("127.0.0.1:", redistest.FreePort(t))
		text += fmt.Sprintf("listen l%d\n bind %s\n server s %s %s\n", len(fronts), fronts[how], p.addr, how)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	redistest.StartProcess(t, path, "-db", "-f", file)
	for how, addr := range fronts {
		redistest.Eventually(t, 20*time.Second, "HAProxy listens", func() bool {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		c := redistest.Dial(t, "tcp", addr)
		if got := c.Do("CLIENT", "INFO"); !strings.Contains(got, " addr="+c.NetConn().LocalAddr().String()+" ") {
			t.Errorf("%s: %s, want the address %s", how, got, c.NetConn().LocalAddr())
		}
		large := strings.Repeat("x", 1<<20)
		c.Do("SET", "k", large)
		if got := c.Do("GET", "k"); len(got) < len(large) {
			t.Errorf("%s: a large value has %d bytes", how, len(got))
		}
	}
	if f := p.server.Figures(); f.Pools[0].NoHeader != 0 {
		t.Errorf("%d connections are taken for ones without a header", f.Pools[0].NoHeader)
	}
}
