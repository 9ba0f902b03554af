package redistest

import (
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// leakWait is how long CheckLeaks waits for goroutines and descriptors to go. Some
// end by themselves, such as a peer's half of a closed connection, which takes a moment
// on a busy machine.
const leakWait = 10 * time.Second

// checksLeaks is in the environment while a test runs that checks for leaks itself.
const checksLeaks = "RINGWAY_TEST_CHECKS_LEAKS"

// CheckLeaks fails the test if it leaves goroutines or file descriptors behind that did
// not exist when CheckLeaks was called. It looks when the test has ended and the
// cleanups registered after this call have run, so call it first in a test. It panics
// in a test that runs in parallel with others, whose goroutines it would see. A test
// that failed already is not checked.
func CheckLeaks(t testing.TB) {
	t.Helper()
	t.Setenv(checksLeaks, "1") // package testing panics here in a parallel test
	checkLeaks(t, leakWait)
}

func checkLeaks(t testing.TB, patience time.Duration) {
	before := present()
	t.Cleanup(func() {
		if t.Failed() || t.Skipped() {
			return
		}
		if leaked := before.leftBehind(patience); len(leaked) > 0 {
			t.Errorf("%d goroutines or descriptors left behind:\n\n%s", len(leaked), strings.Join(leaked, "\n\n"))
		}
	})
}

// RunCheckingLeaks runs a package's tests and returns the exit code for its TestMain. It
// checks for leaks once, after the last test, so that tests may run in parallel. The
// stack of a goroutine that is left shows which test started it. With -short,
// Start gives a test the redis-server of an earlier one, emptied, if neither has options.
func RunCheckingLeaks(m *testing.M) (code int) {
	before := present()
	if !flag.Parsed() {
		flag.Parse()
	}
	if testing.Short() { // a server that was used before may still differ from a new one, in the sizes of its tables
		reuse.begin()
	}
	code = m.Run()
	reuse.end()
	if code != 0 {
		return code
	}
	if leaked := before.leftBehind(leakWait); len(leaked) > 0 {
		fmt.Printf("the tests left %d goroutines or descriptors behind:\n\n%s\n", len(leaked), strings.Join(leaked, "\n\n"))
		return 1
	}
	return 0
}

// resources are the goroutines and descriptors at one moment.
type resources struct{ goroutines, descriptors map[string]string }

func present() resources {
	settle()
	return resources{goroutineStacks(), openDescriptors()}
}

// leftBehind waits until every resource that was not there before is gone, or patience
// is over, and returns the rest.
func (before resources) leftBehind(patience time.Duration) (leaked []string) {
	poll(patience, nil, func() bool {
		http.DefaultClient.CloseIdleConnections() // package http keeps them on purpose
		leaked = newIn(goroutineStacks(), before.goroutines)
		leaked = append(leaked, newIn(openDescriptors(), before.descriptors)...)
		return len(leaked) == 0
	})
	return leaked
}

// settle opens the descriptors of the runtime's poller, which stay open for the life of
// the process, so that they do not count as leaks.
func settle() {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
}

// newIn returns the descriptions in now whose keys are not in before, in order.
func newIn[V any](now map[string]string, before map[string]V) []string {
	var found []string
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if _, old := before[key]; !old {
			found = append(found, now[key])
		}
	}
	return found
}

// lasting are functions whose goroutines, once started, run for the life of
// the process by design.
var lasting = []string{
	"ringway/internal/redistest.runSpawns(",
	"os/signal.loop(",
	"runtime.ensureSigM",
}

// goroutineStacks returns the stack of every goroutine by the goroutine's name,
// such as "goroutine 7", which is never used twice.
func goroutineStacks() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := make(map[string]string)
	for stack := range strings.SplitSeq(strings.TrimSpace(string(buf)), "\n\n") {
		name, _, _ := strings.Cut(stack, " [")
		if !slices.ContainsFunc(lasting, func(f string) bool { return strings.Contains(stack, f) }) {
			stacks[name] = stack
		}
	}
	return stacks
}

// openDescriptors describes every open descriptor of the process. The keys are the
// descriptor's number and, on Linux, the identity of its file, so that a reused number
// counts as new.
func openDescriptors() map[string]string {
	found := make(map[string]string)
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			target, err := os.Readlink(filepath.Join(dir, e.Name()))
			if err != nil && dir == "/proc/self/fd" {
				continue // closed since the listing, as the descriptor of the listing is
			}
			if strings.Contains(target, portLocks) {
				continue // the lock of a block of ports, which this process keeps
			}
			key := e.Name() + " " + target
			found[key] = fmt.Sprintf("descriptor %s: %s%s", e.Name(), target, socketNames(e.Name()))
		}
		break
	}
	return found
}
