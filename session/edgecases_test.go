package session_test

import (
	"io"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// after says what the server does with the connection after its reply.
type after int

const (
	open   after = iota // the next request is answered
	closed              // by the server
	waits               // for the rest of the request
)

// edgeCase is bytes that a client sends, and how they are answered.
type edgeCase struct {
	sent, want string
	after      after
}

// sameAsRedis are cases in which Ringway and Redis 7.0 answer with the same bytes.
var sameAsRedis = []edgeCase{
	{"PING\r\n", "+PONG\r\n", open},
	{"PING\n", "+PONG\r\n", open},
	{"  PING  \r\n", "+PONG\r\n", open},
	{"\r\n", "", open},
	{"\r\n\n  \r\nPING\r\n", "+PONG\r\n", open},
	{"*0\r\nPING\r\n", "+PONG\r\n", open},
	{"*-1\r\nPING\r\n", "+PONG\r\n", open},
	{"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n", closed},
	{"*1\r\n$0\r\n\r\n", "-ERR unknown command '', with args beginning with: \r\n", open},
	{"*2147483648\r\n", "-ERR Protocol error: invalid multibulk length\r\n", closed},
	{"*+1\r\n", "-ERR Protocol error: invalid multibulk length\r\n", closed},
	{"* 1\r\n", "-ERR Protocol error: invalid multibulk length\r\n", closed},
	{"*01\r\n", "-ERR Protocol error: invalid multibulk length\r\n", closed},
	{"*abc\r\n", "-ERR Protocol error: invalid multibulk length\r\n", closed},
	{"*1\r\n$536870913\r\n", "-ERR Protocol error: invalid bulk length\r\n", closed},
	{"*1\r\n$536870912\r\n", "", waits},
	{"*1\r\n$abc\r\n", "-ERR Protocol error: invalid bulk length\r\n", closed},
	{"*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'\r\n", closed},
	{"*1\r\n+PING\r\n", "-ERR Protocol error: expected '$', got '+'\r\n", closed},
	{strings.Repeat("x", 66000), "-ERR Protocol error: too big inline request\r\n", closed},
	{"*" + strings.Repeat("1", 66000), "-ERR Protocol error: too big mbulk count string\r\n", closed},
	{"*1\r\n$" + strings.Repeat("1", 66000), "-ERR Protocol error: too big bulk count string\r\n", closed},
	{"SET \"a b\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n", closed},
	{"ECHO \"a\\x41\\n\"\r\n", "$3\r\naA\n\r\n", open},
	{"ECHO 'a b'\r\n", "$3\r\na b\r\n", open},
	{"FOO bar\r\n", "-ERR unknown command 'FOO', with args beginning with: 'bar' \r\n", open},
	{"FOO 'a\\'b' c\r\n", "-ERR unknown command 'FOO', with args beginning with: 'a'b' 'c' \r\n", open},
	{"OBJECT foo\r\n", "-ERR unknown subcommand 'foo'. Try OBJECT HELP.\r\n", open},
	{"GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n", open},
	{"GET a b\r\n", "-ERR wrong number of arguments for 'get' command\r\n", open},
	{"OBJECT ENCODING\r\n", "-ERR wrong number of arguments for 'object|encoding' command\r\n", open},
	{"POST / HTTP/1.1\r\nPING\r\n", "", closed},
	{"Host: x\r\nPING\r\n", "", closed},
	{"HELLO 4\r\n", "-NOPROTO unsupported protocol version\r\n", open},
	{"HELLO 1\r\n", "-NOPROTO unsupported protocol version\r\n", open},
	{"HELLO abc\r\n", "-ERR Protocol version is not an integer or out of range\r\n", open},
	{"HELLO +2\r\n", "-ERR Protocol version is not an integer or out of range\r\n", open},
	{"HELLO 02\r\n", "-ERR Protocol version is not an integer or out of range\r\n", open},
	{"HELLO 2 FOO\r\n", "-ERR Syntax error in HELLO option 'FOO'\r\n", open},
	{"HELLO 2 AUTH x\r\n", "-ERR Syntax error in HELLO option 'AUTH'\r\n", open},
	{"HELLO 2 SETNAME 'a b'\r\n", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n", open},
	{"AUTH x\r\n", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n", open},
	{"AUTH bob x\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n", open},
	{"AUTH default anything\r\n", "+OK\r\n", open},
	{"AUTH\r\n", "-ERR wrong number of arguments for 'auth' command\r\n", open},
	{"AUTH a b c\r\n", "-ERR syntax error\r\n", open},
	{"SELECT 0\r\n", "+OK\r\n", open},
	{"SELECT 16\r\n", "-ERR DB index is out of range\r\n", open},
	{"SELECT -1\r\n", "-ERR DB index is out of range\r\n", open},
	{"SELECT abc\r\n", "-ERR value is not an integer or out of range\r\n", open},
	{"SELECT +0\r\n", "-ERR value is not an integer or out of range\r\n", open},
	{"SELECT 00\r\n", "-ERR value is not an integer or out of range\r\n", open},
	{"SELECT -0\r\n", "-ERR value is not an integer or out of range\r\n", open},
	{"SELECT 9223372036854775808\r\n", "-ERR value is not an integer or out of range\r\n", open},
	{"SELECT 4294967296\r\n", "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n", open},
	{"EXEC\r\n", "-ERR EXEC without MULTI\r\n", open},
	{"DISCARD\r\n", "-ERR DISCARD without MULTI\r\n", open},
	{"MULTI\r\nMULTI\r\nEXEC\r\n", "+OK\r\n-ERR MULTI calls can not be nested\r\n*0\r\n", open},
	{"MULTI\r\nWATCH a\r\nEXEC\r\n", "+OK\r\n-ERR WATCH inside MULTI is not allowed\r\n*0\r\n", open},
	{"MULTI\r\nFOO\r\nEXEC\r\n", "+OK\r\n-ERR unknown command 'FOO', with args beginning with: \r\n-EXECABORT Transaction discarded because of previous errors.\r\n", open},
	{"MULTI\r\nGET\r\nEXEC\r\n", "+OK\r\n-ERR wrong number of arguments for 'get' command\r\n-EXECABORT Transaction discarded because of previous errors.\r\n", open},
	{"MULTI\r\nRESET\r\nGET none\r\n", "+OK\r\n+RESET\r\n$-1\r\n", open},
	{"RESET\r\n", "+RESET\r\n", open},
	{"QUIT\r\nPING\r\n", "+OK\r\n", closed},
	{"QUIT now\r\n", "+OK\r\n", closed},
	{"CLIENT\r\n", "-ERR wrong number of arguments for 'client' command\r\n", open},
	{"CLIENT NOPE\r\n", "-ERR unknown subcommand 'NOPE'. Try CLIENT HELP.\r\n", open},
	{"CLIENT SETNAME 'a b'\r\n", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n", open},
	{"CLIENT KILL 1.2.3.4:5\r\n", "-ERR No such client\r\n", open},
	{"CLIENT KILL ID 0\r\n", "-ERR client-id should be greater than 0\r\n", open},
	{"CLIENT KILL ID 99999999\r\n", ":0\r\n", open},
	{"CLIENT KILL TYPE x\r\n", "-ERR Unknown client type 'x'\r\n", open},
	{"CLIENT KILL USER bob\r\n", "-ERR No such user 'bob'\r\n", open},
	{"CLIENT KILL ID\r\n", "-ERR No such client\r\n", open},
	{"CLIENT KILL a b c\r\n", "-ERR syntax error\r\n", open},
	{"CLIENT LIST TYPE x\r\n", "-ERR Unknown client type 'x'\r\n", open},
	{"CLIENT LIST ID x\r\n", "-ERR Invalid client ID\r\n", open},
	{"CLIENT LIST FOO\r\n", "-ERR syntax error\r\n", open},
	{"CLIENT LIST TYPE master\r\n", "$0\r\n\r\n", open},
	{"CLIENT NO-EVICT maybe\r\n", "-ERR syntax error\r\n", open},
	{"CLIENT NO-EVICT on\r\n", "+OK\r\n", open},
	{"EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 a\r\n", "-NOSCRIPT No matching script. Please use EVAL.\r\n", open},
	{"COMMAND COUNT x\r\n", "-ERR wrong number of arguments for 'command|count' command\r\n", open},
	{"COMMAND GETKEYS GET a b\r\n", "-ERR Invalid number of arguments specified for command\r\n", open},
	{"COMMAND GETKEYS NOPE a\r\n", "-ERR Invalid command specified\r\n", open},
	{"COMMAND GETKEYS ECHO a\r\n", "-ERR The command has no key arguments\r\n", open},
	{"COMMAND INFO nope\r\n", "*1\r\n$-1\r\n", open},
	{"COMMAND DOCS nope\r\n", "*0\r\n", open},
	{"TIME x\r\n", "-ERR wrong number of arguments for 'time' command\r\n", open},
	{"ECHO\r\n", "-ERR wrong number of arguments for 'echo' command\r\n", open},
	{"PING a b\r\n", "-ERR wrong number of arguments for 'ping' command\r\n", open},
	{encode("ping", "a\r\nb"), "$4\r\na\r\nb\r\n", open},
	{encode("a\r\nb\x00", "c\r\n"), "-ERR unknown command 'a  b', with args beginning with: 'c  ' \r\n", open},
	{encode(strings.Repeat("n", 300), strings.Repeat("a", 300)), "-ERR unknown command '" + strings.Repeat("n", 128) + "', with args beginning with: '" + strings.Repeat("a", 128) + "' \r\n", open},
}

// stricter are cases that Redis accepts and Ringway does not, since they could desynchronise the
// proxy from its client or the servers, or are an attack.
var stricter = []edgeCase{
	{"*1\rX$4\r\nPING\r\n", "-ERR Protocol error: invalid multibulk length\r\n", closed},
	{"*1\r\n$4\r\nPINGxxPING\r\n", "-ERR Protocol error: expected CRLF after bulk\r\n", closed},
	{"*16777217\r\n", "-ERR Protocol error: invalid multibulk length\r\n", closed},
	{"*2147483647\r\n", "-ERR Protocol error: invalid multibulk length\r\n", closed},
	{"GET / HTTP/1.1\r\nPING\r\n", "", closed},
}

// onlyWithPassword are cases of clients that have not authenticated yet, in a pool with a password.
var onlyWithPassword = []edgeCase{
	{"PING\r\n", "-NOAUTH Authentication required.\r\n", open},
	{"GET a\r\n", "-NOAUTH Authentication required.\r\n", open},
	{"GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n", open},
	{"MULTI\r\n", "-NOAUTH Authentication required.\r\n", open},
	{"*10\r\n" + strings.Repeat("$1\r\na\r\n", 10), "-ERR unknown command 'a', with args beginning with: " + strings.Repeat("'a' ", 9) + "\r\n", open},
	{"*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n", closed},
	{"*2\r\n$4\r\nAUTH\r\n$16384\r\n", "", waits},
	{"*2\r\n$4\r\nAUTH\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n", closed},
	{"HELLO 2\r\n", "-" + helloWithoutAuth, open},
	{"HELLO\r\n", "-" + helloWithoutAuth, open},
	{"HELLO 2 AUTH default bad\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n", open},
	{"AUTH bad\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n", open},
	{"AUTH sesame\r\nPING\r\n", "+OK\r\n+PONG\r\n", open},
	{"AUTH default sesame\r\nSET a 1\r\nGET a\r\n", "+OK\r\n+OK\r\n$1\r\n1\r\n", open},
	{"AUTH a b c\r\n", "-ERR syntax error\r\n", open},
	{"QUIT\r\n", "+OK\r\n", closed},
	{"RESET\r\n", "+RESET\r\n", open},
}

const helloWithoutAuth = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> " +
	"option can be used to authenticate the client and select the RESP protocol version at the same time\r\n"

// check sends e to the server at addr and compares the replies. of names the server in errors.
func (e edgeCase) check(t *testing.T, of, addr string) {
	t.Helper()
	c := dialAt(t, addr)
	defer c.Close()
	// A server that closes with unread bytes resets the connection, which may
	// overtake its reply; so nothing is sent beyond what the table says.
	c.Send(e.sent)
	got := ""
	switch e.after {
	case open:
		c.Send(encode("ECHO", "the end"))
		for {
			reply := c.Reply()
			if reply == "$7\r\nthe end\r\n" || strings.HasPrefix(reply, "-NOAUTH Auth") && len(got) >= len(e.want) {
				break
			}
			got += reply
		}
	case waits:
		c.closeWrite()
		got = c.WaitClosed()
	case closed:
		got = c.WaitClosed()
	}
	if got != e.want {
		t.Errorf("%s says %.300q to %.200q, want %.300q", of, got, e.sent, e.want)
	}
}

func TestEdgeCasesOfTheProtocol(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	redis7 := strings.Contains(servers[0].Do("INFO", "server"), "redis_version:7.0.")
	for _, e := range sameAsRedis {
		e.check(t, "the proxy", p.addr)
		if redis7 {
			e.check(t, "Redis", servers[0].Addr())
		}
	}
	for _, e := range stricter {
		e.check(t, "the proxy", p.addr)
	}
}

func TestEdgeCasesOfTheProtocolWithoutAuthentication(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("sesame"))
	cfg := config(t, s.Addr())
	cfg.Pools[0].RedisAuth = "sesame"
	p := serve(t, cfg)
	redis7 := s.Client().Ping(t.Context()).Err() == nil && strings.Contains(s.Client().Info(t.Context(), "server").Val(), "redis_version:7.0.")
	for _, e := range onlyWithPassword {
		e.check(t, "the proxy", p.addr)
		if redis7 {
			e.check(t, "Redis", s.Addr())
		}
	}
}

// TestNULInALineClosesTheConnection is a case in which Redis stops reading for good and neither
// answers nor closes.
func TestNULInALineClosesTheConnection(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	c := p.dial()
	io.WriteString(c.NetConn(), "PING\x00\r\n")
	if got := c.WaitClosed(); !strings.HasPrefix(got, "-ERR Protocol error: ") {
		t.Errorf("%q", got)
	}
}

func TestHashTagsKeepKeysTogether(t *testing.T) {
	t.Parallel()
	cfg := config(t, addrs(redistest.StartN(t, 4))...)
	cfg.Pools[0].HashTag = "{}"
	c := serve(t, cfg).dial()
	for _, args := range [][]string{
		{"MSETNX", "a{t}1", "1", "b{t}2", "2", "{t}c", "3"},
		{"RENAME", "a{t}1", "{t}d"},
		{"SUNIONSTORE", "x{t}", "y{t}", "{t}z{u}"},
		{"BITOP", "AND", "x{t}", "{t}d", "b{t}2"},
		{"EVAL", "return redis.call('get', KEYS[2])", "2", "{t}d", "{t}c"},
		{"PFMERGE", "{t}p", "{t}q", "{t}r"},
		{"LMPOP", "2", "{t}l", "{t}m", "LEFT"},
	} {
		if got := c.Do(args...); strings.HasPrefix(got, "-") {
			t.Errorf("%q: %q", args, got)
		}
	}
	crossed := 0
	// These begin differently, since keys that differ only at their end are close
	// to each other on the ring.
	for _, args := range [][]string{ // a tag that is not closed, or empty, is none
		{"MSETNX", "apple{t", "1", "beech{t", "2", "cedar{t", "3", "dogwood{t", "4"},
		{"MSETNX", "apple{}", "1", "beech{}", "2", "cedar{}", "3", "dogwood{}", "4"},
		{"MSETNX", "apple}t{", "1", "beech}t{", "2", "cedar}t{", "3", "dogwood}t{", "4"},
	} {
		if got := c.Do(args...); strings.HasPrefix(got, "-CROSSSLOT ") && strings.Contains(got, " have no hash tag; ") {
			crossed++
		}
	}
	if crossed != 3 {
		t.Errorf("keys without a proper tag were refused %d times of 3", crossed)
	}
}
