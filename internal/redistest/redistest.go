// Package redistest runs real processes for tests: redis-server, nutcracker,
// Sentinels and Clusters, on loopback ports that no other test in the run uses.
//
//	s := redistest.Start(t)             // one empty redis-server
//	four := redistest.StartN(t, 4)      // four of them
//	got := s.Do("SET", "k", "v")        // "+OK\r\n", as it came over the wire
//	n := s.Client().DBSize(ctx).Val()   // a go-redis client
//	s.Kill(); s.Restart()               // the fault and its end
//
// Everything that a test starts ends with the test, and on Linux also when the test
// binary is killed. A test whose program is not installed is skipped with a reason, or
// fails if RINGWAY_REQUIRE_TOOLS=1 is in the environment.
//
// Only tests import this package, and it imports no other package of Ringway,
// so that every package's tests can use it.
package redistest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// startTimeout bounds how long a started process may take to answer. It is far above
// the usual 10 ms, because test machines can be very busy.
const startTimeout = 30 * time.Second

// RequireTool returns the path of a program. If the program is not installed it skips
// the test, or fails it with RINGWAY_REQUIRE_TOOLS=1.
func RequireTool(t testing.TB, name string) string {
	t.Helper()
	// Some systems install daemons in directories that are not in a user's PATH.
	for _, dir := range []string{"", "/usr/sbin", "/usr/local/sbin", "/usr/local/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if os.Getenv("RINGWAY_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%s is not installed and RINGWAY_REQUIRE_TOOLS=1", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// SkipShort skips the test under go test -short. It is for tests that take a
// second or more; those with a Cluster, Sentinels or replicas are skipped anyway.
func SkipShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("too slow for -short")
	}
}

// Eventually polls cond, on the calling goroutine, until it is true, and fails the test
// if that takes longer than timeout. What completes the sentence "waiting for ...". If
// there is a channel to wait on, wait on that instead.
func Eventually(t testing.TB, timeout time.Duration, what string, cond func() bool) {
	t.Helper()
	if !poll(timeout, nil, cond) {
		t.Fatalf("waiting for %s: still not so after %v", what, timeout)
	}
}

// poll reports whether cond became true before timeout had passed or stop was closed;
// stop may be nil. It polls often at first and every 20 ms in the end, and once more
// after the timeout, in case the process got no processor time before.
func poll(timeout time.Duration, stop <-chan struct{}, cond func() bool) bool {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for pause := time.Millisecond; !cond(); pause = min(2*pause, 20*time.Millisecond) {
		select {
		case <-time.After(pause):
		case <-stop:
			return false
		case <-deadline.C:
			return cond()
		}
	}
	return true
}

// tempDir makes a directory that is removed at the end of the test.
func tempDir(t testing.TB) string {
	t.Helper()
	dir := makeTempDir(t)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("temporary directory: %v", err)
		}
	})
	return dir
}

// makeTempDir makes a directory that the caller removes. It is for sockets:
// t.TempDir puts the test's name into its path, and a Unix socket's path must
// stay under 104 bytes (108 on Linux).
func makeTempDir(t testing.TB) string {
	t.Helper()
	base := "/tmp"
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	dir, err := os.MkdirTemp(base, "rw")
	if err != nil {
		t.Fatalf("temporary directory: %v", err)
	}
	return dir
}
