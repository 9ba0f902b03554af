package redistest

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// recorder is a test whose end and errors the real test decides about.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (r *recorder) Helper()          {}
func (r *recorder) Failed() bool     { return false }
func (r *recorder) Skipped() bool    { return false }
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// end runs the cleanups as a test's end does and returns the errors.
func (r *recorder) end() string {
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
	return strings.Join(r.errors, "\n")
}

func TestAbandonedGoroutineIsReportedWithItsStack(t *testing.T) {
	r := &recorder{}
	checkLeaks(r, 50*time.Millisecond)
	release := make(chan struct{})
	defer close(release)
	go waitForRelease(release)
	if got := r.end(); !strings.HasPrefix(got, "1 goroutines") || !strings.Contains(got, "redistest.waitForRelease(") {
		t.Errorf("got %q", got)
	}
}

func waitForRelease(release <-chan struct{}) { <-release }

func TestAbandonedSocketIsReportedWithItsAddress(t *testing.T) {
	if len(openDescriptors()) == 0 {
		t.Skip("this system does not list a process's descriptors")
	}
	r := &recorder{}
	checkLeaks(r, 50*time.Millisecond)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := r.end(); !strings.HasPrefix(got, "1 goroutines") || !strings.Contains(got, l.Addr().String()) {
		t.Errorf("got %q", got)
	}
}

func TestGoroutinesThatEndInTimeAreNoLeaks(t *testing.T) {
	r := &recorder{}
	checkLeaks(r, leakWait)
	release := make(chan struct{})
	go waitForRelease(release)
	r.Cleanup(func() { close(release) }) // runs before the check
	if got := r.end(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestServersLeakNothing(t *testing.T) {
	CheckLeaks(t)
	s := Start(t, UnixSocket())
	s.Client().Ping(t.Context())
	Dial(t, "unix", s.Socket()).Do("PING")
	s.Restart()
	FreePort(t)
}
