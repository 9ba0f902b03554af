package redistest

import (
	"fmt"
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

// leakPatience is how long goroutines and descriptors may take to go away
// after a test. A goroutine that was told to end needs processor time for it.
const leakPatience = 10 * time.Second

// CheckLeaks fails the test if, when it and its cleanups are over, there are
// goroutines or open file descriptors that were not there at this call. Call it
// first: cleanups run last to first, so what is started after it is not asked
// about until it had its chance to end. It looks at the whole process, so it is
// not for parallel tests nor for tests with parallel neighbours. A test that
// failed already is not checked. Descriptors are seen on Linux only.
func CheckLeaks(t testing.TB) {
	t.Helper()
	before := takeInventory()
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() || t.Skipped() {
			return
		}
		var leaks []string
		if !poll(leakPatience, func() bool {
			// Kept open on purpose, and no fault of the test.
			http.DefaultClient.CloseIdleConnections()
			leaks = takeInventory().since(before)
			return len(leaks) == 0
		}) {
			t.Errorf("%d leaks, still there %v after the test:\n\n%s",
				len(leaks), leakPatience, strings.Join(leaks, "\n\n"))
		}
	})
}

// inventory is what a process holds: goroutines by their number, with their
// stacks, and descriptors by number and what they refer to.
type inventory struct {
	goroutines map[string]string
	files      map[string]bool
}

func takeInventory() inventory {
	// The runtime opens its poller's descriptors at the first use of the
	// network and keeps them.
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
	return inventory{goroutines: goroutines(), files: openFiles()}
}

// since lists what now has and before had not, in a stable order.
func (now inventory) since(before inventory) []string {
	var leaks []string
	for number, stack := range now.goroutines {
		if _, old := before.goroutines[number]; !old {
			leaks = append(leaks, stack)
		}
	}
	for file := range now.files {
		if !before.files[file] {
			leaks = append(leaks, file)
		}
	}
	slices.Sort(leaks)
	return leaks
}

// goroutines returns the stacks of all goroutines but this one and those that
// live as long as the process by design.
func goroutines() map[string]string {
	buf := make([]byte, 64<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	found := make(map[string]string)
	for i, stack := range strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n") {
		if i == 0 || strings.Contains(stack, "redistest.runSpawns(") || strings.Contains(stack, "os/signal.loop(") {
			continue // this goroutine comes first
		}
		number, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		found[number] = stack
	}
	return found
}

// openFiles returns a line for every open descriptor but the port locks.
func openFiles() map[string]bool {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	found := make(map[string]bool)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil || strings.Contains(target, portLockDir) {
			continue // closed meanwhile, as the one that read the directory is
		}
		found[fmt.Sprintf("file descriptor %s: %s", e.Name(), target)] = true
	}
	return found
}
