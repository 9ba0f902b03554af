package hashring

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestNutcrackerStoresKeysWhereIndexSays writes keys through the installed
// nutcracker and asks every redis-server which ones it has. Everything listens
// on unix sockets, so no port can be taken. The binaries are those on PATH.
func TestNutcrackerStoresKeysWhereIndexSays(t *testing.T) {
	if testing.Short() {
		t.Skip("starts nutcracker and redis-server: not with -short")
	}
	for _, name := range []string{"nutcracker", "redis-server"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	// A socket's path is short of room: not t.TempDir, which holds the test's name.
	dir, err := os.MkdirTemp("", "ring")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })

	f := fleet{dir: dir}
	for i := range 5 {
		f.startRedis(t, i)
	}
	pools := nutcrackerPools()
	f.startNutcracker(t, pools)
	l := newRandomInput(9)
	for i, p := range pools {
		f.checkPool(t, i, p, nil, l)
	}

	// Now the last server dies, and the pools that eject it place its keys anew.
	f.killRedis(t, 4)
	for i, p := range pools {
		if !p.eject {
			continue
		}
		down := make([]bool, len(p.Servers))
		for at, s := range p.Servers {
			down[at] = p.redis[s.Name] == 4
		}
		f.awaitEjection(t, i, mustNew(t, p.Config), down)
		f.checkPool(t, i, p, down, l)
	}
}

// A nutcrackerPool is a pool whose servers are among five of redis-server.
type nutcrackerPool struct {
	Config
	redis map[string]int // server name -> which redis-server
	eject bool
}

// nutcrackerPools returns every hash of twemproxy in several kinds of pools.
func nutcrackerPools() []nutcrackerPool {
	long := strings.Repeat("long-name-", 27) // 270 bytes: "-10" and above are cut to "-1"
	kinds := []struct {
		tag     string
		weights []int
		names   []string
	}{
		{"", []int{1, 1, 1, 1, 1}, []string{"alpha", "beta", "gamma", "delta", "e"}},
		{"{}", []int{1, 2, 3, 5, 10}, []string{"alpha", "beta", "gamma", "delta", "e"}},
		{"$$", []int{1, 1, 700, 7, 7}, []string{"a", "b", "10.0.0.1:6379", "/tmp/redis.sock:", "::1:6379"}},
		{"", []int{1, 2, 1, 1, 2}, []string{long + "a", long + "b", long, "10.0.0.1", "b"}},
	}
	var pools []nutcrackerPool
	for i, hash := range HashNames() {
		if hash == "xxhash64" {
			continue
		}
		for j, distribution := range []string{"ketama", "modula"} {
			kind := kinds[(i+2*j)%len(kinds)]
			p := nutcrackerPool{redis: map[string]int{}, eject: i%3 == 0}
			p.Config = Config{Hash: hash, Distribution: distribution, HashTag: kind.tag}
			for at, name := range kind.names {
				p.Servers = append(p.Servers, Server{name, kind.weights[at]})
				p.redis[name] = at
			}
			sortServers(p.Servers)
			pools = append(pools, p)
		}
	}
	return pools
}

// checkPool writes keys through the pool and compares where they are with
// where the ring without the servers in down says.
func (f *fleet) checkPool(t *testing.T, pool int, p nutcrackerPool, down []bool, l randomInput) {
	t.Helper()
	var alive []int
	for i, c := range f.redis {
		if c != nil {
			alive = append(alive, i)
			c.mustDo(t, "FLUSHALL")
		}
	}
	keys := map[string]bool{"": true}
	for len(keys) < 300 {
		keys[string(l.key(p.HashTag))] = true
	}
	client := dial(t, f.path("pool", pool))
	defer client.Close()
	for key := range keys {
		client.send("SET", key, "v")
	}
	client.flush(t)
	for range keys {
		if _, err := client.reply(); err != nil {
			t.Fatalf("SET through pool %d: %v", pool, err)
		}
	}

	r := mustNew(t, p.Config).Without(down)
	found := 0
	for _, i := range alive {
		for _, key := range f.redis[i].mustDo(t, "KEYS", "*") {
			found++
			if owner := p.Servers[r.Index([]byte(key))].Name; p.redis[owner] != i || !keys[key] {
				t.Errorf("%s, %s, tag %q, down %v: %q is on server %d, Index says %q", p.Hash, p.Distribution, p.HashTag, down, key, i, owner)
			}
		}
	}
	if found != len(keys) {
		t.Errorf("%s, %s: %d keys found of %d", p.Hash, p.Distribution, found, len(keys))
	}
}

// awaitEjection sends a key of the server that is down until another one
// answers.
func (f *fleet) awaitEjection(t *testing.T, pool int, full *Ring, down []bool) {
	t.Helper()
	key := ""
	for i := 0; !down[full.Index([]byte(key))]; i++ {
		if i == 100000 {
			return // the server that is down owns nothing
		}
		key = "probe-" + strconv.Itoa(i)
	}
	client := dial(t, f.path("pool", pool))
	defer client.Close()
	for range 100 {
		client.send("SET", key, "v")
		client.flush(t)
		_, err := client.reply()
		if err == nil {
			return
		}
		if _, ok := errors.AsType[errorReply](err); !ok {
			t.Fatalf("pool %d: %v", pool, err)
		}
	}
	t.Fatalf("pool %d never ejected its server", pool)
}

// A fleet is nutcracker and the servers behind it.
type fleet struct {
	dir       string
	redis     []*conn // nil once killed
	processes []*exec.Cmd
}

func (f *fleet) path(name string, i int) string {
	return filepath.Join(f.dir, name+strconv.Itoa(i))
}

func (f *fleet) startRedis(t *testing.T, i int) {
	t.Helper()
	socket := f.path("redis", i)
	f.processes = append(f.processes, start(t, exec.Command("redis-server",
		"--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", f.dir)))
	c := dial(t, socket)
	f.redis = append(f.redis, c)
	t.Cleanup(func() { c.Close() })
}

func (f *fleet) killRedis(t *testing.T, i int) {
	t.Helper()
	f.redis[i].Close()
	f.redis[i] = nil
	f.processes[i].Process.Kill()
	f.processes[i].Wait()
}

// startNutcracker serves pool number N on the socket poolN.
func (f *fleet) startNutcracker(t *testing.T, pools []nutcrackerPool) {
	t.Helper()
	var text strings.Builder
	for i, p := range pools {
		fmt.Fprintf(&text, "pool%d:\n  listen: %s\n  hash: %s\n  distribution: %s\n  redis: true\n", i, f.path("pool", i), p.Hash, p.Distribution)
		fmt.Fprintf(&text, "  auto_eject_hosts: %v\n  server_failure_limit: 1\n  server_retry_timeout: 3600000\n", p.eject)
		if p.HashTag != "" {
			fmt.Fprintf(&text, "  hash_tag: %q\n", p.HashTag)
		}
		text.WriteString("  servers:\n")
		for _, s := range p.Servers {
			fmt.Fprintf(&text, "   - '%s:%d %s'\n", f.path("redis", p.redis[s.Name]), s.Weight, s.Name)
		}
	}
	file := filepath.Join(f.dir, "nutcracker.yml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, exec.Command("nutcracker", "-c", file, "-a", "127.0.0.1", "-s", freePort(t), "-o", filepath.Join(f.dir, "log")))
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(f.dir, "log")); t.Failed() && err == nil {
			t.Logf("nutcracker says:\n%s", log)
		}
	})
	dial(t, f.path("pool", len(pools)-1)).Close() // the last to listen
}

// freePort returns a port for nutcracker's statistics, which it insists on.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// start runs the command until the test ends.
func start(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// A conn speaks RESP2 as far as these tests need it.
type conn struct {
	net.Conn
	in  *bufio.Reader
	out *bufio.Writer
}

// dial waits until somebody listens on the socket and answers PING.
func dial(t *testing.T, socket string) *conn {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		raw, err := net.Dial("unix", socket)
		if err == nil {
			c := &conn{raw, bufio.NewReader(raw), bufio.NewWriter(raw)}
			c.SetDeadline(deadline)
			c.mustDo(t, "PING")
			return c
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // between looks at a condition, not instead of one
	}
}

func (c *conn) send(args ...string) {
	fmt.Fprintf(c.out, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c.out, "$%d\r\n%s\r\n", len(a), a)
	}
}

func (c *conn) flush(t *testing.T) {
	t.Helper()
	if err := c.out.Flush(); err != nil {
		t.Fatal(err)
	}
}

func (c *conn) mustDo(t *testing.T, args ...string) []string {
	t.Helper()
	c.send(args...)
	c.flush(t)
	reply, err := c.reply()
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return reply
}

// An errorReply is the line of a reply that is an error.
type errorReply string

func (e errorReply) Error() string { return string(e) }

// reply returns the elements of an array of bulk strings, or the line of any
// reply that is a single line; an errorReply if that is an error.
func (c *conn) reply() ([]string, error) {
	line, err := c.in.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	line = bytes.TrimSpace(line)
	switch line[0] {
	case '*':
	case '-':
		return nil, errorReply(line)
	default:
		return []string{string(line)}, nil
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil {
		return nil, err
	}
	elements := make([]string, 0, n)
	for range n {
		head, err := c.in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
		if err != nil {
			return nil, errors.New("not a bulk string: " + head)
		}
		element := make([]byte, size+2)
		if _, err := io.ReadFull(c.in, element); err != nil {
			return nil, err
		}
		elements = append(elements, string(element[:size]))
	}
	return elements, nil
}
