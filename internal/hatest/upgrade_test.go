package hatest

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// upgraded is a process and those that have taken its place since.
type upgraded struct {
	t    testing.TB
	addr string
	*redistest.Process
}

// runUpgraded runs the program until the test ends, with a pool in front of servers.
func runUpgraded(t testing.TB, lines string, servers ...*redistest.Server) *upgraded {
	t.Helper()
	u := &upgraded{t: t, addr: fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))}
	var listed []string
	for i, s := range servers {
		listed = append(listed, fmt.Sprintf("%q", fmt.Sprintf("%s s%d", s.Addr(), i)))
	}
	u.Process = runProgram(t, fmt.Sprintf("[proxy]\n%s\n[pools.alpha]\nlisten = %q\nhash_tag = \"{}\"\nservers = [%s]\n", lines, u.addr, strings.Join(listed, ", ")))
	t.Cleanup(func() {
		for _, pid := range u.pids()[1:] {
			syscall.Kill(pid, syscall.SIGKILL) // what a test's process has started is not the test's
		}
	})
	return u
}

var startedPID = regexp.MustCompile(`a new process is starting".* pid=(\d+)`)

// pids returns the ids of the processes, oldest first.
func (u *upgraded) pids() []int {
	pids := []int{u.Pid()}
	for _, m := range startedPID.FindAllStringSubmatch(u.Output(), -1) {
		pid, _ := strconv.Atoi(m[1])
		pids = append(pids, pid)
	}
	return pids
}

// upgrade has the newest process start another one, and returns when that has all clients.
func (u *upgraded) upgrade() {
	u.t.Helper()
	before := len(u.pids())
	syscall.Kill(u.pids()[before-1], syscall.SIGUSR2)
	u.await("the old process has ended", "msg=stopped", before)
}

// await waits until the log has a text so many times.
func (u *upgraded) await(what, text string, times int) {
	u.t.Helper()
	redistest.Eventually(u.t, time.Minute, what, func() bool { return strings.Count(u.Output(), text) >= times })
}

// upgradeRounds is how many upgrades a test makes, and with how many clients.
func upgradeRounds() (rounds, clients int) {
	if os.Getenv("RINGWAY_LONG") != "" {
		return 10, 800
	}
	return 2, 16
}

// Upgrades in a row are nothing that a client sees: no error, no lost connection, no wrong reply. The clients run
// transactions, blocking requests, scripts and pipelines.
func TestUpgradesUnderLoad(t *testing.T) {
	redistest.SkipShort(t)
	rounds, clients := upgradeRounds()
	u := runUpgraded(t, "threads = 2", redistest.StartN(t, 3)...)
	load := Load{Clients: clients, Depth: 4, Shared: 4 * clients, Strict: true, Pause: 20 * time.Millisecond}.Start(t, u.addr)
	for range rounds {
		load.Progress(3, time.Minute)
		u.upgrade()
	}
	load.Progress(3, time.Minute)
	report := load.Finish()
	if report.Failed() > 0 {
		t.Error("clients met errors")
	}
	if strings.Contains(u.Output(), "client stays") {
		t.Error("clients were refused")
	}
}

// A client that sends without ever waiting for replies moves as well.
func TestUpgradeOfAClientThatNeverPauses(t *testing.T) {
	redistest.SkipShort(t)
	u := runUpgraded(t, "threads = 1", redistest.StartN(t, 2)...)
	c := redistest.Dial(t, "tcp", u.addr)
	conn := c.NetConn()
	const ahead = 64
	replies, stop := make(chan string, ahead), make(chan struct{})
	sent := make(chan int, 1)
	go func() {
		n := 0
		defer func() { close(replies); sent <- n }()
		for {
			select {
			case <-stop:
				return
			case replies <- fmt.Sprintf("%d", n):
			}
			if _, err := conn.Write([]byte(redistest.Request("ECHO", strconv.Itoa(n)) + redistest.Request("INCR", "count"))); err != nil {
				t.Error(err)
				return
			}
			n++
		}
	}()
	read := make(chan int, 1)
	go func() {
		n := 0
		for want := range replies {
			if got := c.Reply(); got != fmt.Sprintf("$%d\r\n%s\r\n", len(want), want) {
				t.Errorf("reply %d is %q", n, got)
				break
			}
			n++
			if got := c.Reply(); got != fmt.Sprintf(":%d\r\n", n) {
				t.Errorf("reply %d is %q", n, got)
				break
			}
		}
		for range replies {
		}
		read <- n
	}()
	for range 2 {
		u.upgrade()
	}
	close(stop)
	if a, b := <-sent, <-read; a != b || a == 0 {
		t.Errorf("%d requests, %d replies", a, b)
	}
}
