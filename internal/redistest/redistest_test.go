package redistest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestServerAnswersOnEveryAddress(t *testing.T) {
	s := Start(t, UnixSocket(), Debug(), Args("--maxclients", "50"))
	if got := s.Do("SET", "k", "v"); got != "+OK\r\n" {
		t.Fatalf("SET: got %q", got)
	}
	if got := Dial(t, "unix", s.Socket()).Do("GET", "k"); got != "$1\r\nv\r\n" {
		t.Errorf("GET by the Unix socket: got %q", got)
	}
	if got, err := s.Client().Get(context.Background(), "k").Result(); got != "v" || err != nil {
		t.Errorf("GET by go-redis: got %q, %v", got, err)
	}
	if got := s.Do("CONFIG", "GET", "maxclients"); !strings.Contains(got, "\r\n50\r\n") {
		t.Errorf("the argument did not arrive: got %q", got)
	}
	if got := s.Do("DEBUG", "SLEEP", "0"); got != "+OK\r\n" {
		t.Errorf("DEBUG: got %q", got)
	}
}

func TestPasswordIsRequiredAndKnownToClients(t *testing.T) {
	s := Start(t, Password("secret"))
	if got := Dial(t, "tcp", s.Addr()).Do("PING"); !strings.HasPrefix(got, "-NOAUTH") {
		t.Errorf("without the password: got %q", got)
	}
	if got := s.Do("PING"); got != "+PONG\r\n" {
		t.Errorf("with it: got %q", got)
	}
	if err := s.Client().Ping(context.Background()).Err(); err != nil {
		t.Errorf("by go-redis: %v", err)
	}
}

func TestReplicaFollowsItsPrimary(t *testing.T) {
	primary := Start(t, Password("secret"))
	replica := Start(t, Password("secret"), ReplicaOf(primary))
	primary.Do("SET", "k", "v")
	Eventually(t, startTimeout, "the replica to have the key", func() bool {
		return replica.Do("GET", "k") == "$1\r\nv\r\n"
	})
}

func TestRestartedServerIsEmptyOnTheSamePort(t *testing.T) {
	s := Start(t)
	s.Do("SET", "k", "v")
	addr, pid := s.Addr(), s.Pid()
	c := Dial(t, "tcp", addr)
	c.Do("PING")
	s.Kill()
	if got := c.WaitClosed(); got != "" {
		t.Errorf("a killed server still said %q", got)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("a killed server still accepts connections")
	}
	s.Restart()
	if s.Addr() != addr || s.Pid() == pid {
		t.Errorf("got address %s and pid %d, want %s and not %d", s.Addr(), s.Pid(), addr, pid)
	}
	if got := s.Do("GET", "k"); got != "$-1\r\n" {
		t.Errorf("GET after the restart: got %q", got)
	}
}

func TestStoppedServerAnswersWhenContinued(t *testing.T) {
	s := Start(t)
	c := Dial(t, "tcp", s.Addr())
	c.Do("PING")
	s.Stop()
	c.Send(Request("PING"))
	c.conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	if _, err := c.r.ReadByte(); err == nil {
		t.Error("a stopped server answered")
	}
	s.Cont()
	if got := c.Reply(); got != "+PONG\r\n" {
		t.Errorf("after Cont: got %q", got)
	}
}

func TestServersDoNotShareData(t *testing.T) {
	for i, s := range StartN(t, 3) {
		if got := s.Do("INCR", "n"); got != ":1\r\n" {
			t.Errorf("server %d: got %q", i, got)
		}
	}
}

func TestNutcrackerServes(t *testing.T) {
	servers := StartN(t, 2)
	listen := FreeAddr(t)
	Nutcracker(t, fmt.Sprintf("p:\n  listen: %s\n  redis: true\n  servers:\n   - %s:1\n   - %s:1\n",
		listen, servers[0].Addr(), servers[1].Addr()))
	c := Dial(t, "tcp", listen)
	if got := c.Do("SET", "k", "v"); got != "+OK\r\n" {
		t.Errorf("SET: got %q", got)
	}
	if got := c.Do("GET", "k"); got != "$1\r\nv\r\n" {
		t.Errorf("GET: got %q", got)
	}
}

func TestListensFindsEveryAddress(t *testing.T) {
	yaml := "a:\n  listen: 127.0.0.1:1\n  redis: true\nb:\n  listen: \"/tmp/s\" 0644\n"
	if got := fmt.Sprint(listens(yaml)); got != "[127.0.0.1:1 /tmp/s]" {
		t.Errorf("got %s", got)
	}
}

func TestFreePortsDiffer(t *testing.T) {
	seen := map[int]bool{}
	for range 2*portsPerBlock + 1 { // more than one block has
		p := FreePort(t)
		if seen[p] {
			t.Fatalf("port %d twice", p)
		}
		if p < firstPort || p >= firstPort+portBlocks*portsPerBlock {
			t.Fatalf("port %d is out of range", p)
		}
		seen[p] = true
	}
}

func TestRepliesAreReadCompletely(t *testing.T) {
	for _, reply := range []string{
		"+OK\r\n", "-ERR x\r\n", ":1\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "(123\r\n",
		"$0\r\n\r\n", "$-1\r\n", "$3\r\na\r\n\r\n", "=5\r\ntxt:a\r\n", "!3\r\nERR\r\n",
		"*0\r\n", "*-1\r\n", "*2\r\n*1\r\n:1\r\n$1\r\nx\r\n", "%1\r\n+k\r\n*1\r\n:1\r\n",
		"~1\r\n:1\r\n", ">2\r\n+a\r\n+b\r\n", "|1\r\n+k\r\n+v\r\n:7\r\n",
	} {
		c, server := net.Pipe()
		go func() { fmt.Fprint(server, reply, "+NEXT\r\n") }()
		conn := &Conn{t: t, conn: c, r: bufio.NewReader(c)}
		if got := conn.Reply(); got != reply {
			t.Errorf("got %q, want %q", got, reply)
		}
		if got := conn.Reply(); got != "+NEXT\r\n" {
			t.Errorf("after %q: got %q", reply, got)
		}
		c.Close()
	}
}
