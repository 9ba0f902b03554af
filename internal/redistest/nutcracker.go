package redistest

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Nutcracker runs twemproxy's nutcracker with this configuration until the test
// ends and returns when every "listen:" address in it accepts connections. Take
// the addresses from FreeAddr. The statistics are on a free port; extra
// arguments such as "-s", port come last and so override the package's own.
func Nutcracker(t testing.TB, yaml string, args ...string) *Process {
	t.Helper()
	path := RequireTool(t, "nutcracker")
	dir := tempDir(t)
	config := filepath.Join(dir, "nutcracker.yml")
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatalf("nutcracker's configuration: %v", err)
	}
	all := append([]string{
		"-c", config, "-a", "127.0.0.1", "-s", strconv.Itoa(FreePort(t)), "-v", "5",
	}, args...)
	p := startProcess(t, dir, path, all)
	for _, addr := range listens(yaml) {
		if !p.untilAccepts(addr) {
			t.Fatalf("nutcracker does not accept connections at %s:\n%s", addr, lastLines(p.Output(), 20))
		}
	}
	return p
}

// untilAccepts waits until a connection to addr, "host:port" or a path, is
// accepted. It reports false if the process ends or the time is over first.
func (p *Process) untilAccepts(addr string) bool {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	return poll(startTimeout, p.Exited(), func() bool {
		conn, err := net.DialTimeout(network, addr, time.Second)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// listens returns the addresses after "listen:" in a nutcracker.yml. The address of a
// Unix socket may be followed by permissions.
func listens(yaml string) []string {
	var addrs []string
	for line := range strings.Lines(yaml) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "listen:")
		if fields := strings.Fields(rest); ok && len(fields) > 0 {
			addrs = append(addrs, strings.Trim(fields[0], `"'`))
		}
	}
	return addrs
}
