// Package redistest starts real servers for tests: redis-server alone, as a
// primary with replicas, under Sentinels or as a Cluster, and nutcracker to
// compare with.
//
// Everything listens on loopback, keeps its files in a directory of the test,
// writes nothing to disk on its own account and is killed when the test ends,
// and on Linux also when the test binary itself is killed. A test that needs a
// program which is not installed is skipped with one line that names it, or
// fails if RequireToolsEnv is set.
//
// Only tests import this package, and it imports nothing else of the project,
// so that every package's own tests may use it.
package redistest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// RequireToolsEnv names the environment variable that turns a skip for want of
// redis-server or nutcracker into a failure. "make test" sets it to 1 once
// both are installed, so that nothing is skipped unseen.
const RequireToolsEnv = "RINGWAY_REQUIRE_TOOLS"

// startTimeout bounds every wait for a server to become ready. It is long
// because it only has to end a wait that would never end: on a busy machine a
// start of some milliseconds has been seen to take seconds.
const startTimeout = 60 * time.Second

// required are the programs that RequireToolsEnv insists on. Whatever else a
// test asks for stays optional.
var required = map[string]bool{"redis-server": true, "nutcracker": true}

// Tool returns the path of an installed program. If there is none it skips the
// test, or fails it if RequireToolsEnv is set and the program is redis-server
// or nutcracker. It must be called from the test's goroutine.
func Tool(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	// Debian puts nutcracker and haproxy where a plain user's PATH does not
	// lead.
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if required[name] && os.Getenv(RequireToolsEnv) == "1" {
		t.Fatalf("%s is not installed, and %s=1 asks for it", name, RequireToolsEnv)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// Eventually waits until cond holds. It asks at once and then ever less often,
// at most every 50 ms, and fails the test with what it waited for when timeout
// has passed. It must be called from the test's goroutine; cond runs there.
func Eventually(t testing.TB, timeout time.Duration, what string, cond func() bool) {
	t.Helper()
	if !poll(timeout, nil, cond) {
		t.Fatalf("waited %v in vain: %s", timeout, what)
	}
}

// poll asks cond until it holds, timeout has passed or stop is closed, and
// reports whether cond held. It asks once more after the timeout, because on a
// busy machine all of it may have passed between two questions.
func poll(timeout time.Duration, stop <-chan struct{}, cond func() bool) bool {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if cond() {
			return true
		}
		select {
		case <-time.After(pause):
		case <-stop:
			return false
		case <-deadline.C:
			return cond()
		}
	}
}
