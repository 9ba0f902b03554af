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
	return runUpgradedPool(t, lines, "", servers...)
}

// runUpgradedPool is runUpgraded with further lines of the pool.
func runUpgradedPool(t testing.TB, lines, poolLines string, servers ...*redistest.Server) *upgraded {
	t.Helper()
	u := &upgraded{t: t, addr: fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))}
	var listed []string
	for i, s := range servers {
		listed = append(listed, fmt.Sprintf("%q", fmt.Sprintf("%s s%d", s.Addr(), i)))
	}
	u.Process = runProgram(t, fmt.Sprintf("[proxy]\n%s\n[pools.alpha]\nlisten = %q\nhash_tag = \"{}\"\nservers = [%s]\n%s\n", lines, u.addr, strings.Join(listed, ", "), poolLines))
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

// If the new process dies half-way, the clients that it does not have yet notice nothing, and the old process
// accepts clients again.
func TestUpgradeWhoseProcessDies(t *testing.T) {
	redistest.SkipShort(t)
	u := runUpgraded(t, "threads = 2", redistest.StartN(t, 2)...)
	const rounds, clients = 5, 32
	var conns []*redistest.Conn
	lost := 0
	for round := range rounds {
		for len(conns) < clients {
			c := redistest.Dial(t, "tcp", u.addr)
			if len(conns)%4 == 0 {
				c.Do("SUBSCRIBE", "news")
			}
			conns = append(conns, c)
		}
		syscall.Kill(u.pids()[0], syscall.SIGUSR2)
		u.await("a new process is starting", "a new process is starting", round+1)
		if round%2 == 1 {
			u.await("it has taken over", "a new process has taken over", lost+1)
		}
		pids := u.pids()
		syscall.Kill(pids[len(pids)-1], syscall.SIGKILL)
		u.await("the old process goes on", "this process goes on", round+1)
		var left []*redistest.Conn
		for _, c := range conns {
			c.NetConn().SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := c.NetConn().Write([]byte(redistest.Request("PING"))); err != nil {
				continue
			}
			if b := make([]byte, 64); readsPong(c, b) {
				left = append(left, c)
			}
		}
		if gone := strings.Count(u.Output(), "a new process has taken over"); gone == lost && len(left) != clients {
			t.Errorf("round %d: %d clients are left of %d, although the new process never took over", round, len(left), clients)
		} else {
			lost = gone
		}
		conns = left
		if got := redistest.Dial(t, "tcp", u.addr).Do("PING"); got != "+PONG\r\n" {
			t.Errorf("a new client is answered %q", got)
		}
	}
	u.upgrade0()
	for _, c := range conns {
		if _, err := c.NetConn().Write([]byte(redistest.Request("PING"))); err != nil || !readsPong(c, make([]byte, 64)) {
			t.Error("a client was lost in the upgrade that did not fail")
		}
	}
}

// readsPong reports whether the next bytes for a client are the answer to PING.
func readsPong(c *redistest.Conn, b []byte) bool {
	n, err := c.NetConn().Read(b)
	return err == nil && strings.Contains(strings.ToLower(string(b[:n])), "pong")
}

// upgrade0 is upgrade for the first process, whose earlier attempts have failed.
func (u *upgraded) upgrade0() {
	u.t.Helper()
	syscall.Kill(u.pids()[0], syscall.SIGUSR2)
	u.await("the old process has ended", "msg=stopped", 1)
}
