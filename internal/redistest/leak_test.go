package redistest

import (
	"net"
	"strings"
	"testing"
)

func TestAbandonedGoroutineIsALeak(t *testing.T) {
	before := takeInventory()
	release := make(chan struct{})
	go waitForRelease(release)
	Eventually(t, leakPatience, "the goroutine to be seen", func() bool {
		return strings.Contains(strings.Join(takeInventory().since(before), "\n"), "redistest.waitForRelease(")
	})
	close(release)
	Eventually(t, leakPatience, "no leaks", func() bool {
		return len(takeInventory().since(before)) == 0
	})
}

func waitForRelease(release <-chan struct{}) { <-release }

func TestAbandonedDescriptorIsALeak(t *testing.T) {
	if openFiles() == nil {
		t.Skip("this system does not list a process's descriptors")
	}
	before := takeInventory()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	leaks := takeInventory().since(before)
	l.Close()
	if len(leaks) != 1 || !strings.Contains(leaks[0], "socket:") {
		t.Errorf("got %q, want one socket", leaks)
	}
	if leaks := takeInventory().since(before); len(leaks) != 0 {
		t.Errorf("after Close: got %q", leaks)
	}
}

func TestTestWithServersLeaksNothing(t *testing.T) {
	CheckLeaks(t)
	s := Start(t, UnixSocket())
	s.Client().Ping(t.Context())
	Dial(t, "unix", s.Socket()).Do("PING")
	s.Restart()
	FreePort(t)
}
