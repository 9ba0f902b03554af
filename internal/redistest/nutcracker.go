package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// listenLine finds the addresses on which a nutcracker configuration listens.
var listenLine = regexp.MustCompile(`(?m)^\s*listen:\s*["']?([^\s"'#]+)`)

// Nutcracker runs twemproxy's nutcracker with a configuration in its own YAML
// and returns when every pool of it accepts connections. Its statistics port is
// a free one. Arguments such as "-m", "512" are passed on. The test is skipped
// if nutcracker is not installed. It must be called from the test's goroutine.
func Nutcracker(t testing.TB, yaml string, args ...string) *Process {
	t.Helper()
	path := Tool(t, "nutcracker")
	dir := t.TempDir()
	file := filepath.Join(dir, "nutcracker.yml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatalf("nutcracker configuration: %v", err)
	}
	listens := listenLine.FindAllStringSubmatch(yaml, -1)
	if len(listens) == 0 {
		t.Fatalf("nutcracker configuration has no listen: line:\n%s", yaml)
	}
	args = append([]string{"-c", file, "-a", "127.0.0.1", "-s", strconv.Itoa(FreePort(t))}, args...)
	p, err := startProcess(t, dir, path, args...)
	if err != nil {
		t.Fatal(err)
	}
	for _, listen := range listens {
		if err := p.accepts(listen[1]); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// accepts waits until the process accepts connections on addr.
func (p *Process) accepts(addr string) error {
	ok := poll(startTimeout, p.Exited(), func() bool {
		c, err := dial(addr, startTimeout)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	if !ok {
		return fmt.Errorf("%s does not accept on %s: %s", p.name, addr, p.Log())
	}
	return nil
}
