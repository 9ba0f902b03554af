package command

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// tableVersion is the version of Redis whose facts the table holds; other versions give
// other replies.
const tableVersion = "7.0.15"

var live struct {
	once sync.Once
	sock string
	skip string
	stop func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if live.stop != nil {
		live.stop()
	}
	os.Exit(code)
}

// liveServer returns a new connection to the redis-server that all tests of the
// package share, or skips the test if there is none.
func liveServer(t *testing.T) *liveConn {
	t.Helper()
	if testing.Short() {
		t.Skip("compares with a running redis-server; not with -short")
	}
	live.once.Do(startLive)
	if live.skip != "" {
		t.Skip(live.skip)
	}
	c := dialLive(t)
	info := c.do("INFO", "server").(string)
	if !strings.Contains(info, "redis_version:"+tableVersion+"\r\n") {
		t.Skipf("compares with redis-server %s, which this one is not", tableVersion)
	}
	return c
}

func startLive() {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		live.skip = "redis-server is not installed"
		return
	}
	// Not t.TempDir: a socket's path must stay below 108 bytes, and the server
	// outlives the test that starts it.
	dir, err := os.MkdirTemp("", "ringway")
	if err != nil {
		live.skip = err.Error()
		return
	}
	live.sock = filepath.Join(dir, "s")
	cmd := exec.Command(binary, "--port", "0", "--unixsocket", live.sock, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		live.skip = err.Error()
		return
	}
	live.stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(dir)
	}
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if c, err := net.Dial("unix", live.sock); err == nil {
			c.Close()
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	live.skip = "redis-server did not start within 20 s"
}

type liveConn struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func dialLive(t *testing.T) *liveConn {
	t.Helper()
	c, err := net.Dial("unix", live.sock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &liveConn{t, c, bufio.NewReader(c)}
}

func (l *liveConn) do(args ...string) any {
	l.t.Helper()
	return l.doBytes(byteArgs(args...))
}

func (l *liveConn) doBytes(args [][]byte) any {
	l.t.Helper()
	l.send(args)
	return l.receive()
}

func (l *liveConn) send(args [][]byte) {
	l.t.Helper()
	r := &replyBuilder{permitted: unguarded}
	r.array(len(args))
	for _, a := range args {
		r.bulkBytes(a)
	}
	if _, err := l.c.Write(r.b); err != nil {
		l.t.Fatal(err)
	}
}

func (l *liveConn) receive() any {
	l.t.Helper()
	l.c.SetReadDeadline(time.Now().Add(20 * time.Second))
	v, err := readValue(l.r)
	if err != nil {
		l.t.Fatalf("reply: %v", err)
	}
	return v
}

// rawError sends a request and returns the error reply as it came, with CRLF.
func (l *liveConn) rawError(args [][]byte) string {
	l.t.Helper()
	v := l.doBytes(args)
	e, ok := v.(ReplyError)
	if !ok {
		l.t.Fatalf("%q: reply %v is no error", args, v)
	}
	return "-" + string(e) + "\r\n"
}

// set and pairs are the RESP3 types; arrays are []any, null is nil, simple
// strings are the type simple, bulk strings are string.
type (
	simple string
	set    []any
	pairs  []any
)

func readValue(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 || !strings.HasSuffix(line, "\r\n") {
		return nil, fmt.Errorf("line %q", line)
	}
	lead, text := line[0], line[1:len(line)-2]
	switch lead {
	case '+':
		return simple(text), nil
	case '-':
		return ReplyError(text), nil
	case '_':
		return nil, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("line %q", line)
	}
	switch lead {
	case ':':
		return n, nil
	case '$':
		if n < 0 {
			return nil, nil
		}
		b := make([]byte, n+2)
		_, err := io.ReadFull(r, b)
		return string(b[:n]), err
	case '*':
		if n < 0 {
			return nil, nil
		}
		return readElements(r, n)
	case '~':
		v, err := readElements(r, n)
		return set(v), err
	case '%':
		v, err := readElements(r, 2*n)
		return pairs(v), err
	}
	return nil, fmt.Errorf("line %q", line)
}

func readElements(r *bufio.Reader, n int) ([]any, error) {
	v := make([]any, n)
	for i := range v {
		var err error
		if v[i], err = readValue(r); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// parseReply reads a reply that must be all of b.
func parseReply(t testing.TB, b []byte) any {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(b))
	v, err := readValue(r)
	if err != nil {
		t.Fatalf("reply %.200q: %v", b, err)
	}
	if r.Buffered() > 0 {
		t.Fatalf("reply %.200q has %d bytes too many", b, r.Buffered())
	}
	return v
}

// canonical writes a value so that two replies that mean the same are equal:
// sets are sorted, and the notes of key specifications are left out.
func canonical(v any) string {
	switch v := v.(type) {
	case set:
		words := make([]string, len(v))
		for i := range v {
			words[i] = canonical(v[i])
		}
		slices.Sort(words)
		return "{" + strings.Join(words, " ") + "}"
	case pairs:
		var words []string
		for i := 0; i < len(v); i += 2 {
			if v[i] != "notes" {
				words = append(words, canonical(v[i])+"="+canonical(v[i+1]))
			}
		}
		return "(" + strings.Join(words, " ") + ")"
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = canonical(v[i])
		}
		return "[" + strings.Join(words, " ") + "]"
	}
	return fmt.Sprintf("%T:%v", v, v)
}

// downgraded turns a RESP3 value into the RESP2 value that a server gives.
func downgraded(v any) any {
	var list []any
	switch w := v.(type) {
	case set:
		list = w
	case pairs:
		list = w
	case []any:
		list = w
	default:
		return v
	}
	out := make([]any, len(list))
	for i := range list {
		out[i] = downgraded(list[i])
	}
	return out
}

func byteArgs(args ...string) [][]byte {
	b := make([][]byte, len(args))
	for i := range args {
		b[i] = []byte(args[i])
	}
	return b
}
