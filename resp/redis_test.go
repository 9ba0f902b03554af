package resp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These tests ask a running Redis what it makes of an input. The same input
// goes through Parse, and what Parse finds is sent to Redis as plain arrays,
// with the error text that Parse gives added to the answer. Both answers must
// be the same bytes.

// redis is a redis-server of the test's own, on a unix socket.
type redis struct{ socket string }

// startRedis starts a redis-server that ends with the test, or skips it.
func startRedis(t *testing.T, args ...string) redis {
	t.Helper()
	if testing.Short() {
		t.Skip("short: starts a redis-server")
	}
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "resp") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := redis{filepath.Join(dir, "s")}
	cmd := exec.Command(binary, append([]string{"--port", "0", "--unixsocket", r.socket, "--dir", dir,
		"--save", "", "--appendonly", "no", "--enable-debug-command", "yes"}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("unix", r.socket)
		if err == nil {
			conn.Close()
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not accept: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// answer returns all that Redis answers to in on a connection of its own. The
// connection is closed for writing after in, so Redis closes it in any case. It
// does so without sending the rest of an answer of over 64 KiB.
func (r redis) answer(t *testing.T, in []byte) string {
	return r.exchange(t, in, true)
}

// answerToAll does the same for sound requests with answers of any length.
func (r redis) answerToAll(t *testing.T, in []byte) string {
	out, ok := strings.CutSuffix(r.exchange(t, append(in, request("QUIT")...), false), "+OK\r\n")
	if !ok {
		t.Fatalf("%.100q: the answer ends early", in)
	}
	return out
}

func (r redis) exchange(t *testing.T, in []byte, end bool) string {
	t.Helper()
	conn, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	// Redis may have closed before it has read all; what it said still counts.
	conn.Write(in)
	if end {
		conn.(*net.UnixConn).CloseWrite()
	}
	out, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%.100q: no end of the answer", in)
	}
	return string(out)
}

// compare fails if Redis and Parse disagree about in. It reports whether they
// could be compared: not where Parse is stricter than Redis by intent.
func compare(t *testing.T, r redis, in []byte, lim *Limits) bool {
	t.Helper()
	var p RequestParser
	var st RequestState
	var found []byte
	var refusal string
	silent := false
	for rest := in; len(rest) > 0; {
		n, err := p.Parse(rest, &st, lim)
		if err != nil {
			if stricter(in, &p, err) {
				return false
			}
			if silent = err == ErrHTTP; !silent {
				refusal = string(AppendError(nil, "ERR "+err.Error()))
			}
			break
		}
		if n == 0 {
			break
		}
		found = AppendRequest(found, p.Args)
		rest = rest[n:]
	}
	want := r.answer(t, in)
	got := refusal
	if len(found) > 0 {
		got = r.answer(t, found) + refusal
	}
	// A silent close takes along what Redis has not sent yet.
	if got != want && !(silent && strings.HasPrefix(got, want)) {
		t.Errorf("%.200q:\nRedis says %.300q\nwith Parse %.300q", in, want, got)
	}
	return true
}

// stricter reports whether err may be one that Redis does not give: line ends
// other than CR LF where these must be, NUL in a line, HTTP other than POST and
// Host:, TLS.
func stricter(in []byte, p *RequestParser, err error) bool {
	if err == ErrHTTP {
		return p.Inline && !isAttack(p.Args[0])
	}
	plain := bytes.ReplaceAll(in, []byte("\r\n"), nil)
	return err == ErrTLS || err == errBulkEnd || bytes.ContainsAny(plain, "\r\n\x00")
}

func TestRedisAgreesAboutEdgeCases(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	for _, in := range []string{
		"PING\r\n", "PING\n", "\r\n", "\r\nPING\r\n", "*0\r\n*1\r\n$4\r\nPING\r\n", "*-1\r\n*1\r\n$4\r\nPING\r\n",
		"*-10\r\nPING\r\n", "*-9223372036854775808\r\nPING\r\n", "*-9223372036854775809\r\nPING\r\n",
		"*1\r\n$-1\r\n", "*1\r\n$0\r\n\r\n", "*2147483648\r\n", "*2147483647\r\n", "*1048577\r\n", "*+1\r\n", "* 1\r\n",
		"*1 \r\n", "*01\r\n", "*-0\r\nPING\r\n", "*abc\r\n", "*\r\n", "*-\r\n", "*9999999999\r\n", "*99999999999999999999\r\n",
		"*1\r\n$536870913\r\n", "*1\r\n$536870912\r\n", "*1\r\n$9223372036854775807\r\n", "*1\r\n$99999999999999999999\r\n",
		"*1\r\n$4294967300\r\nPING\r\n", "*1\r\n$abc\r\n", "*1\r\n$\r\n", "*1\r\n$04\r\nPING\r\n", "*1\r\n$+4\r\nPING\r\n",
		"*1\r\n:1\r\n", "*1\r\n+PING\r\n", "*1\r\n\r\n", "*1\r\n*1\r\n$4\r\nPING\r\n",
		strings.Repeat("x", 70000), "*" + strings.Repeat("1", 70000), "*1\r\n$" + strings.Repeat("1", 70000),
		"*1\r\n" + strings.Repeat("x", 70000),
		"ECHO " + strings.Repeat("x", 60000) + "\r\n", "*2\r\n$4\r\nECHO\r\n$50000\r\n" + strings.Repeat("x", 50000) + "\r\n",
		"SET \"a b\r\n", "ECHO \"a\\x41\\n\"\r\n", "ECHO 'a b'\r\n", "ECHO 'a\\'b'\r\n", "ECHO a\"b c\"\r\n", "ECHO \"a\"b\r\n",
		"ECHO \"\\q\\\\\\\"\\r\\t\\b\\a\\x4g\"\r\n", "ECHO a\vb\r\n", "\v\fECHO\tx \r\n", "ECHO \"\"\r\n", "ECHO \"a\\\r\n", "ECHO 'a\\\r\n",
		"PING\r\n*1\r\n$-1\r\nPING\r\n", "FOO bar\r\n", "GET\r\n", "POST / x\r\nPING\r\n", "Host: x\r\nPING\r\n",
		"PING\r\n*1\r\n$4\r\npost\r\nPING\r\n", "*2\r\n$5\r\nhOsT:\r\n$1\r\nx\r\n", "host x\r\n", "*1\r\n$4\r\nPIN",
	} {
		if !compare(t, r, []byte(in), &DefaultLimits) {
			t.Errorf("%.100q was not compared", in)
		}
	}
}

func TestRedisAgreesAboutUnauthenticatedClients(t *testing.T) {
	t.Parallel()
	r := startRedis(t, "--requirepass", "secret")
	for _, in := range []string{
		"PING\r\n", "*10\r\n" + strings.Repeat("$1\r\na\r\n", 10), "*11\r\n" + strings.Repeat("$1\r\na\r\n", 11),
		"*1\r\n$16384\r\n" + strings.Repeat("a", 16384) + "\r\n", "*1\r\n$16385\r\n", "*2147483648\r\n", "*1\r\n$536870913\r\n",
		"*1\r\n$-1\r\n",
	} {
		if !compare(t, r, []byte(in), &UnauthenticatedLimits) {
			t.Errorf("%.100q was not compared", in)
		}
	}
}

func TestRedisAgreesAboutDamagedRequests(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	sound := []string{
		"*2\r\n$4\r\nECHO\r\n$11\r\nhowdy\r\nwor\n\r\n", "*1\r\n$4\r\nPING\r\n", "PING\r\n", "ECHO \"a b\\x41\"\r\n", "ECHO 'it\\'s'\n",
		"*0\r\n", "*-1\r\n", "\r\n", "*3\r\n$4\r\nECHO\r\n$0\r\n\r\n$1\r\nx\r\n", "*2\r\n$4\r\nECHO\r\n$1000\r\n" + strings.Repeat("v", 1000) + "\r\n",
	}
	const spice = "$*0123456789-+ '\"\\x\r\n:aPI\t"
	compared := 0
	for i := range 1500 {
		var in []byte
		for range 1 + rnd.IntN(4) {
			in = append(in, sound[rnd.IntN(len(sound))]...)
		}
		for range rnd.IntN(4) {
			at := rnd.IntN(len(in))
			switch c := spice[rnd.IntN(len(spice))]; rnd.IntN(3) {
			case 0:
				in[at] = c
			case 1:
				in = append(in[:at], append([]byte{c}, in[at:]...)...)
			case 2:
				in = append(in[:at], in[at+1:]...)
			}
			if len(in) == 0 {
				in = []byte("x")
			}
		}
		if compare(t, r, in, &DefaultLimits) {
			compared++
		}
		if t.Failed() {
			t.Fatalf("seed %d, input %d", seed, i)
		}
	}
	if compared < 500 {
		t.Errorf("only %d inputs could be compared", compared)
	}
}

// Redis's own test command makes replies of all types in both protocols.
func TestRepliesOfARunningRedisAreFramed(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	types := strings.Fields("string integer double bignum null array set map attrib push verbatim true false error")
	for _, version := range []string{"2", "3"} {
		in := request("HELLO", version)
		for _, kind := range types {
			in = AppendRequest(in, [][]byte{[]byte("DEBUG"), []byte("PROTOCOL"), []byte(kind)})
		}
		in = append(in, request("COMMAND")...)
		in = append(in, request("EVAL", `local t = {} for i = 1, 1000 do t = {t} end return t`, "0")...)
		in = append(in, request("EVAL", `return redis.error_reply(string.rep("x", 100000))`, "0")...)
		in = append(in, request("ECHO", strings.Repeat("x", 100000))...)
		out := []byte(r.answerToAll(t, in))
		whole := feedReplies(out, nil, &DefaultReplyLimits)
		for _, size := range []int{1, 7, 1000, 65536} {
			if got := feedReplies(out, cut(len(out), size), &DefaultReplyLimits); got != whole {
				t.Errorf("RESP%s by %d: %.300s, want %.300s", version, size, got, whole)
			}
		}
		want := 1 + len(types) + 4
		if version == "3" {
			want++ // DEBUG PROTOCOL PUSH sends a push and a reply
		}
		if n := strings.Count(whole, "\n"); n != want || !strings.HasSuffix(whole, "\nincomplete") {
			t.Errorf("RESP%s: %d replies, want %d: %s", version, n, want, whole)
		}
		if pushes := strings.Count(whole, "true"); pushes != want-1-len(types)-4 {
			t.Errorf("RESP%s: %d pushes", version, pushes)
		}
	}
}

// A script must not be able to end a connection that others share.
func TestDefaultDepthHoldsForScripts(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	for depth := 1000; depth <= 16000; depth *= 2 {
		script := fmt.Sprintf("local t = {} for i = 1, %d do t = {t} end return t", depth)
		out := []byte(r.answerToAll(t, request("EVAL", script, "0")))
		if got := feedReplies(out, nil, &DefaultReplyLimits); !strings.HasPrefix(got, fmt.Sprint(len(out))) {
			t.Errorf("depth %d: %.100s", depth, got)
		}
	}
}
