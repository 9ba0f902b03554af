package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/internal/redistest"
)

// npmPackages are what the JavaScript scripts need.
var npmPackages = []string{"ioredis@6.0.0", "redis@6.3.1"}

// nodeModules returns a directory with npmPackages. They are installed once, to
// the user's cache; without npm or its registry the test is skipped.
func nodeModules(t *testing.T) string {
	t.Helper()
	redistest.RequireTool(t, "node")
	npm := redistest.RequireTool(t, "npm")
	base, err := os.UserCacheDir()
	if err != nil {
		base = t.TempDir()
	}
	dir := filepath.Join(base, "ringway-clients", strings.Join(npmPackages, "+"))
	if _, err := os.Stat(dir); err == nil {
		return filepath.Join(dir, "node_modules")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatalf("cache of clients: %v", err)
	}
	// Installed elsewhere and then renamed, so that the directory is complete or missing.
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "new")
	if err != nil {
		t.Fatalf("cache of clients: %v", err)
	}
	defer os.RemoveAll(fresh)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, npm, append([]string{"install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", fresh}, npmPackages...)...)
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm install: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatalf("cache of clients: %v", err)
	}
	return filepath.Join(dir, "node_modules")
}

// script runs a script of testdata/clients with the proxy's port.
func script(t *testing.T, p *proxy, interpreter, name string, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter, filepath.Join("testdata", "clients", name), port(t, p))
	cmd.Env = append(os.Environ(), env...)
	if p.trust != "" {
		cmd.Env = append(cmd.Env, "CA="+p.trust)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}

func port(t *testing.T, p *proxy) string {
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestJavaScriptClients(t *testing.T) {
	redistest.SkipShort(t)
	modules := nodeModules(t)
	for _, test := range []struct{ name, script, protocol string }{
		{"ioredis", "ioredis.js", ""},
		{"node-redis with RESP2", "noderedis.js", "2"},
		{"node-redis with its default, RESP3", "noderedis.js", "3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, _ := serveShards(t, 4)
			if test.protocol == "3" && strings.HasPrefix(p.dial().Do("HELLO", "3"), "-NOPROTO") {
				t.Skip("the proxy does not speak RESP3")
			}
			script(t, p, "node", test.script, "NODE_PATH="+modules, "PROTOCOL="+test.protocol)
		})
	}
}

func TestPythonClient(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, _ := serveShards(t, 4)
	script(t, p, pythonWithRedis(t), "redispy.py")
}

// pythonWithRedis returns an interpreter that has redis-py.
func pythonWithRedis(t *testing.T) (python string) {
	t.Helper()
	for _, candidate := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(candidate, "-c", "import redis").Run() == nil {
			python = candidate
		}
	}
	if python == "" {
		t.Skip("no Python that has redis-py (Debian's python3-redis)")
	}
	return python
}

func TestGoRedisWithItsDefaultOptions(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c := redis.NewClient(&redis.Options{Addr: p.addr, TLSConfig: p.tls})
	defer c.Close()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.MSet(ctx, "a", 1, "b", 2, "c", 3).Err())
	if got := fmt.Sprint(c.MGet(ctx, "a", "none", "c", "b").Val()); got != "[1 <nil> 3 2]" {
		t.Errorf("MGET: %s", got)
	}
	must(c.HSet(ctx, "h", "f", 1, "g", 2).Err())
	must(c.ZAdd(ctx, "z", redis.Z{Score: 1.5, Member: "m"}).Err())
	must(c.RPush(ctx, "l", "x", "y").Err())
	if all, z, l := c.HGetAll(ctx, "h").Val(), c.ZRangeWithScores(ctx, "z", 0, -1).Val(), c.LRange(ctx, "l", 0, -1).Val(); len(all) != 2 || z[0].Score != 1.5 || len(l) != 2 {
		t.Errorf("hash %v, sorted set %v, list %v", all, z, l)
	}
	if err := c.LPush(ctx, "h", 1).Err(); err == nil || !strings.HasPrefix(err.Error(), "WRONGTYPE") {
		t.Errorf("LPUSH of a hash: %v", err)
	}
	if err := c.Get(ctx, "none").Err(); err != redis.Nil {
		t.Errorf("GET of nothing: %v", err)
	}
	large := bytes.Repeat([]byte("large\r\n\x00"), 1<<17)
	must(c.Set(ctx, "large", large, time.Hour).Err())
	if got, err := c.Get(ctx, "large").Bytes(); err != nil || !bytes.Equal(got, large) {
		t.Errorf("a value of 1 MiB comes back as %d bytes, %v", len(got), err)
	}
	const n = 10000
	cmds, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range n {
			pipe.Set(ctx, fmt.Sprint("p", i), i, 0)
			pipe.Get(ctx, fmt.Sprint("p", i))
		}
		return nil
	})
	must(err)
	for i := range n {
		if got := cmds[2*i+1].(*redis.StringCmd).Val(); got != fmt.Sprint(i) {
			t.Fatalf("p%d: %q", i, got)
		}
	}
	c.Do(ctx, "QUIT")
	must(c.Get(ctx, "a").Err())
}

// cli runs redis-cli with standard input, and returns what it wrote.
func cli(t *testing.T, p *proxy, input string, args ...string) string {
	t.Helper()
	return cliWith(t, p, p.toolArgs()[2:], input, args...)
}

// cliWith is cli with arguments about the connection.
func cliWith(t *testing.T, p *proxy, connection []string, input string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, redistest.RequireTool(t, "redis-cli"), append(append([]string{"-p", port(t, p)}, connection...), args...)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("redis-cli %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestRedisCLI(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	f := func(input, want string, args ...string) {
		t.Helper()
		if got := cli(t, p, input, args...); got != want {
			t.Errorf("redis-cli %v of %q: %q, want %q", args, input, got, want)
		}
	}
	f("", "OK\n", "SET", "a", "1")
	f("SET b 'x y'\nGET b\nMGET a b none\nNOSUCH\n",
		"OK\nx y\n1\nx y\n\nERR unknown command 'NOSUCH', with args beginning with: \n\n")
	f("a\x00\r\nb", "OK\n", "-x", "SET", "bin")
	f("", "\"a\\x00\\r\\nb\"\n", "--no-raw", "GET", "bin")
	const n = 20000
	var mass strings.Builder
	for i := range n {
		mass.WriteString(encode("SET", fmt.Sprint("mass:", i), fmt.Sprint("value:", i)))
	}
	if got := cli(t, p, mass.String(), "--pipe"); !strings.Contains(got, fmt.Sprintf("errors: 0, replies: %d\n", n)) {
		t.Errorf("--pipe: %s", got)
	}
	f("", "value:19999\n", "GET", "mass:19999")
	if got := cli(t, p, "", "COMMAND", "DOCS", "GET"); !strings.Contains(got, "summary") {
		t.Errorf("COMMAND DOCS: %s", got)
	}
	if got := cli(t, p, "", "-3", "GET", "a"); !strings.HasSuffix(got, "1\n") {
		t.Errorf("-3: %q", got)
	}
}

func TestRedisBenchmarkSeesNoErrors(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	tool := redistest.RequireTool(t, "redis-benchmark")
	p, _ := serveShards(t, 4)
	for _, args := range []string{
		"-c 50 -t set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset",
		"-c 50 -P 16 -r 1000 -t set,get,incr,lpush,rpush,lpop,sadd,hset,spop,zadd,mset",
		"-c 3 -P 100 -d 20000 -t set,get,mset -n 1000",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		all := append(append(p.toolArgs(), "-n", "3000", "-q"), strings.Fields(args)...)
		out, err := exec.CommandContext(ctx, tool, all...).CombinedOutput()
		cancel()
		if err != nil || bytes.Contains(bytes.ToLower(out), []byte("error")) {
			t.Errorf("redis-benchmark %s: %v\n%s", args, err, out)
		}
	}
}

func TestLongClientNamesAreRefused(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	c := p.dial()
	longest := strings.Repeat("n", 1<<10)
	for _, args := range [][]string{{"CLIENT", "SETNAME"}, {"CLIENT", "SETINFO", "LIB-NAME"}, {"CLIENT", "SETINFO", "lib-ver"}, {"HELLO", "2", "SETNAME"}} {
		if got := c.Do(append(args, longest+"n")...); !strings.HasSuffix(got, " cannot be longer than 1024 bytes.\r\n") {
			t.Errorf("%q: %q", args, got)
		}
		if got := c.Do(append(args, longest)...); strings.HasPrefix(got, "-") {
			t.Errorf("%q: %q", args, got)
		}
	}
}
