package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ringway/internal/redistest"
)

// killSuccessors ends the processes that p's upgrades have started, when the test ends: they are not
// p's any more.
func killSuccessors(t *testing.T, p *redistest.Process) {
	t.Cleanup(func() {
		for _, pid := range successors(p) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
}

// successors returns the ids of the processes that p and its successors have started.
func successors(p *redistest.Process) (pids []int) {
	for _, m := range regexp.MustCompile(`a new process is starting".* pid=(\d+)`).FindAllStringSubmatch(p.Output(), -1) {
		pid, _ := strconv.Atoi(m[1])
		pids = append(pids, pid)
	}
	return pids
}

// Clients keep their connection through upgrades, and with it all that the proxy knows of them.
func TestUpgradeKeepsClients(t *testing.T) {
	t.Parallel()
	p, path, console := operated(t, startNodes(t, 2))
	killSuccessors(t, p)
	addr := printed(t, p, `msg=listening .*addr=(\S+)`)[0]
	c, quiet := redistest.Dial(t, "tcp", addr), redistest.Dial(t, "tcp", addr)
	c.Do("CLIENT", "SETNAME", "one")
	c.Do("CLIENT", "SETINFO", "LIB-NAME", "lib")
	c.Do("SET", "key", "value")
	id := c.Do("CLIENT", "ID")
	quiet.Send(redistest.Request("CLIENT", "REPLY", "OFF"))
	quiet.Send("*2\r\n$3\r\nGET\r\n$3\r\nk") // half a request
	for round := range 3 {
		code, out := command(t, "upgrade", "-c", path, "--admin", console)
		if code != exitOK || !strings.Contains(out, " has taken over\n2 clients moved, 0 still here") {
			t.Fatalf("%d, %s", code, out)
		}
		redistest.Eventually(t, patience, "the old process has ended", func() bool {
			return strings.Count(p.Output(), "msg=stopped") == round+1
		})
		if got := c.Do("CLIENT", "GETNAME"); got != "$3\r\none\r\n" {
			t.Errorf("name %q", got)
		}
		if got := c.Do("CLIENT", "ID"); got != id {
			t.Errorf("id %q, was %q", got, id)
		}
		if got := c.Do("GET", "key"); got != "$5\r\nvalue\r\n" {
			t.Errorf("value %q", got)
		}
		info := c.Do("CLIENT", "INFO")
		if !strings.Contains(info, " lib-name=lib ") {
			t.Errorf("%q", info)
		}
		fresh := redistest.Dial(t, "tcp", addr)
		if got := fresh.Do("CLIENT", "ID"); got <= id && len(got) <= len(id) {
			t.Errorf("a new client has the id %q, an old one %q", got, id)
		}
		if got := fresh.Do("INFO", "server"); !strings.Contains(got, "redis_version") {
			t.Errorf("%q", got)
		}
		fresh.Close()
		redistest.Eventually(t, patience, "it has left", func() bool { return strings.Contains(c.Do("INFO", "clients"), "connected_clients:2\r\n") })
	}
	quiet.Send("ey\r\n" + redistest.Request("CLIENT", "REPLY", "ON"))
	if got := quiet.Reply(); got != "+OK\r\n" {
		t.Errorf("the first reply of a client that had none is %q", got)
	}
}

// Clients stay the users of the proxy that they are. One whose user the new configuration lacks stays with the old process
// until that ends.
func TestUpgradeKeepsUsers(t *testing.T) {
	t.Parallel()
	p, path, console := operated(t, startNodes(t, 1), `[pools.alpha.users]`, `default = { rules = "off" }`,
		`alice = { password = "a", rules = "+get +acl|whoami ~a" }`, `bob = { password = "b", rules = "+get ~b" }`)
	killSuccessors(t, p)
	addr := printed(t, p, `msg=listening .*addr=(\S+)`)[0]
	alice, bob, stranger := redistest.Dial(t, "tcp", addr), redistest.Dial(t, "tcp", addr), redistest.Dial(t, "tcp", addr)
	alice.Do("AUTH", "alice", "a")
	bob.Do("AUTH", "bob", "b")
	const noAuth, noKey = "-NOAUTH Authentication required.\r\n", "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n"
	if got := stranger.Do("GET", "a"); got != noAuth {
		t.Fatalf("a stranger gets %q", got)
	}
	replaceIn(t, path, "bob = ", "carol = ")
	code, out := command(t, "upgrade", "-c", path, "--admin", console)
	if code != exitOK || !strings.Contains(out, "\n2 clients moved, 1 still here") {
		t.Fatalf("%d, %s", code, out)
	}
	if got := alice.Do("ACL", "WHOAMI") + alice.Do("GET", "a") + alice.Do("GET", "b"); got != "$5\r\nalice\r\n$-1\r\n"+noKey {
		t.Errorf("alice gets %q", got)
	}
	if got := bob.Do("GET", "b") + bob.Do("GET", "a"); got != "$-1\r\n"+noKey {
		t.Errorf("bob gets %q", got)
	}
	if got := stranger.Do("GET", "a"); got != noAuth {
		t.Errorf("a stranger gets %q", got)
	}
	bob.Close()
}

// An upgrade that fails changes nothing, and says why.
func TestUpgradeThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "rw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	nodes := []string{redistest.Start(t).Addr()}
	path := configFile(t, socket, nodes, "[admin]\nlisten = \""+filepath.Join(dir, "admin")+"\"")
	p := start(t, "-c", path)
	killSuccessors(t, p)
	printed(t, p, `msg="listening for operators"`)
	c := redistest.Dial(t, "unix", socket)
	c.Do("PING")
	redistest.Eventually(t, patience, "the server's version is known", func() bool { return !strings.Contains(c.Do("INFO", "server"), "redis_version:6.0.0") })
	upgrade := func() (int, string) { return command(t, "upgrade", "-c", path, "--admin", filepath.Join(dir, "admin")) }
	serves := func() {
		t.Helper()
		for _, c := range []*redistest.Conn{c, redistest.Dial(t, "unix", socket)} {
			if got := c.Do("PING"); got != "+PONG\r\n" {
				t.Errorf("PING is answered %q", got)
			}
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	replaceIn(t, path, "servers = [", "timeout = 3\nservers = [")
	if code, out := command(t, "upgrade", "--admin", filepath.Join(dir, "admin")); code != exitFailure || !strings.Contains(out, path+":6:") {
		t.Errorf("%d, %s", code, out)
	}
	serves()
	if os.Getenv("RINGWAY_LONG") != "" {
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), nodes[0], "127.0.0.1:1", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out := upgrade(); code != exitFailure || !strings.Contains(out, "no server reached within 10s of pool alpha") {
			t.Errorf("%d, %s", code, out)
		}
		serves()
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := os.WriteFile(path, []byte(string(text)+"[pools.beta]\nlisten = \""+taken.Addr().String()+"\"\nservers = [\""+nodes[0]+"\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := upgrade(); code != exitFailure || !strings.Contains(out, "address already in use") {
		t.Errorf("%d, %s", code, out)
	}
	serves()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := upgrade(); code != exitOK {
		t.Errorf("%d, %s", code, out)
	}
	serves()
	printed(t, p, "msg=stopped")
	serves()
	printed(t, p, `level=ERROR msg="upgrade failed: this process goes on" by=console err=.*address already in use`)
	pids := successors(p)
	syscall.Kill(pids[len(pids)-1], syscall.SIGTERM)
	redistest.Eventually(t, patience, "the new process removes the socket at its end", func() bool {
		_, err := os.Stat(socket)
		return os.IsNotExist(err)
	})
}
