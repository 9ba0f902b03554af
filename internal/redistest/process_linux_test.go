package redistest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

const helperVariable = "REDISTEST_HELPER"

// TestHelperStartsAServer is not a test: it is what the killed process of
// TestServerDiesWithTheTestBinary runs.
func TestHelperStartsAServer(t *testing.T) {
	if os.Getenv(helperVariable) == "" {
		t.Skip("a helper of TestServerDiesWithTheTestBinary")
	}
	s := Start(t)
	fmt.Println(s.Addr(), s.dir)
	os.Stdin.Read(make([]byte, 1)) // until killed
}

func TestServerDiesWithTheTestBinary(t *testing.T) {
	RequireTool(t, "redis-server")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestHelperStartsAServer$", "-test.v")
	cmd.Env = append(os.Environ(), helperVariable+"=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var addr, dir string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "127.0.0.1:") {
			fmt.Sscan(lines.Text(), &addr, &dir)
			break
		}
	}
	if dir != "" {
		Dial(t, "tcp", addr).Do("PING")
		t.Cleanup(func() { os.RemoveAll(dir) }) // its own cleanup never comes
	}
	cmd.Process.Kill()
	cmd.Wait()
	if dir == "" {
		t.Fatal("the helper started no server")
	}
	Eventually(t, startTimeout, "the orphaned server to be gone", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

// A child's parent, to Linux, is the thread that forked it.
func TestServerOutlivesTheThreadOfItsStarter(t *testing.T) {
	RequireTool(t, "redis-server")
	started := make(chan *Server)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		defer close(started)
		started <- Start(t)
	}()
	s, ok := <-started
	if !ok {
		t.Fatal("no server")
	}
	<-started
	for range 20 {
		if got := s.Do("PING"); got != "+PONG\r\n" {
			t.Fatalf("got %q", got)
		}
	}
}
