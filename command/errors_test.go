package command

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestErrorWords(t *testing.T) {
	f := func(got []byte, want string) {
		t.Helper()
		if string(got) != want+"\r\n" {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	f(AppendUnknown(nil, byteArgs("FOO", "bar")), "-ERR unknown command 'FOO', with args beginning with: 'bar' ")
	f(AppendUnknown(nil, byteArgs("")), "-ERR unknown command '', with args beginning with: ")
	f(AppendUnknown(nil, nil), "-ERR unknown command '', with args beginning with: ")
	f(AppendUnknown(nil, byteArgs("a\r\nb", "c\nd", "e\x00f")), "-ERR unknown command 'a  b', with args beginning with: 'c d' 'e' ")
	f(AppendUnknownSubcommand(nil, byteArgs("object", "foo")), "-ERR unknown subcommand 'foo'. Try OBJECT HELP.")
	f(AppendUnknownSubcommand(nil, byteArgs("object")), "-ERR unknown command 'object', with args beginning with: ")
	f(AppendArity([]byte("+OK\r\n"), ByName("object|encoding")), "+OK\r\n-ERR wrong number of arguments for 'object|encoding' command")

	denied := func(want string, args ...string) {
		t.Helper()
		c, _ := Lookup(byteArgs(args...))
		f(AppendDenied(nil, c, byteArgs(args...)), want)
	}
	denied("-ERR unknown command 'SFLUSH', with args beginning with: '0' '1' ", "SFLUSH", "0", "1")
	denied("-ERR unknown subcommand 'set'. Try HIMPORT HELP.", "himport", "set", "k", "f", "v")
	denied("-ERR command 'shutdown' is not allowed by this proxy: it administers a server that others share", "SHUTDOWN")
	f(AppendGuarded(nil, ByName("config|get")), "-ERR command 'config|get' is not allowed by this proxy: it administers a server that others share; the pool's allow_commands allows it")
	f(AppendForbidden(nil, ByName("get")), "-ERR command 'get' is not allowed by this proxy: the pool's deny_commands refuses it")
	denied("-ERR This instance has cluster support disabled", "CLUSTER", "INFO")
	denied("-ERR This instance has cluster support disabled", "READONLY")
}

func TestUnknownCommandsAreAnsweredAsByTheServer(t *testing.T) {
	conn := liveServer(t)
	rng := rand.New(rand.NewPCG(1, 2))
	word := func() []byte {
		b := make([]byte, []int{0, 1, 3, 7, 60, 127, 128, 129, 200}[rng.IntN(9)])
		for i := range b {
			b[i] = "abcXYZ09 '\"\\\xff\x80\x01"[rng.IntN(15)]
		}
		for range rng.IntN(3) {
			if len(b) > 0 {
				b[rng.IntN(len(b))] = "\r\n\x00"[rng.IntN(3)]
			}
		}
		return b
	}
	for range 2000 {
		args := [][]byte{append([]byte("?"), word()...)}
		for range rng.IntN(6) {
			args = append(args, word())
		}
		want := conn.rawError(args)
		if got := string(AppendUnknown(nil, args)); got != want {
			t.Fatalf("%q\ngot  %q\nwant %q", args, got, want)
		}
		args = append([][]byte{[]byte("Object"), append([]byte("?"), word()...)}, args...)
		want = conn.rawError(args)
		if got := string(AppendUnknownSubcommand(nil, args)); got != want {
			t.Fatalf("%q\ngot  %q\nwant %q", args, got, want)
		}
	}
}

func TestArityErrorsAreThoseOfTheServer(t *testing.T) {
	conn := liveServer(t)
	f := func(c *Command, n int) {
		t.Helper()
		name := strings.Split(c.Name, "|")
		args := byteArgs(name...)
		for len(args) < n {
			args = append(args, []byte("x"))
		}
		args = args[:n]
		if got, problem := Lookup(args); got != c || problem != NoProblem || got.ArityOK(n) {
			if len(name) <= n { // else the container is found
				t.Errorf("%s with %d arguments: %v, problem %v", c.Name, n, got, problem)
			}
			return
		}
		if got, want := string(AppendArity(nil, c)), conn.rawError(args); got != want {
			t.Errorf("%s with %d arguments: %q, want %q", c.Name, n, got, want)
		}
	}
	checked := 0
	for i := range table {
		c := &table[i]
		if _, differs := newer[c.Name]; differs || conn.unknown(c.Name) {
			continue
		}
		checked++
		if c.Arity > 0 {
			f(c, c.Arity+1)
			f(c, c.Arity-1)
		} else {
			f(c, -c.Arity-1)
		}
	}
	if checked < 360 {
		t.Errorf("only %d commands were checked", checked)
	}
}

// unknown reports whether the server does not know a command.
func (l *liveConn) unknown(name string) bool {
	l.t.Helper()
	info, ok := l.do("COMMAND", "INFO", name).([]any)
	return !ok || info[0] == nil
}

func TestBadCountsOfKeysGetTheWordsOfTheServer(t *testing.T) {
	conn := liveServer(t)
	sha := fmt.Sprint(conn.do("SCRIPT", "LOAD", "return 1"))
	conn.do("FUNCTION", "LOAD", "REPLACE", "#!lua name=l\nredis.register_function{function_name='f',callback=function() return 1 end,flags={'no-writes'}}")
	f := func(requests ...string) {
		t.Helper()
		for _, request := range requests {
			args := byteArgs(strings.Fields(strings.ReplaceAll(request, "$SHA", sha))...)
			c, problem := Lookup(args)
			if problem != NoProblem {
				t.Fatalf("%q: problem %v", args, problem)
			}
			_, err := c.Keys(args, nil)
			if err == nil {
				t.Errorf("%s: no error", request)
				continue
			}
			if got, want := string(err.(ReplyError).AppendError(nil)), conn.rawError(args); got != want {
				t.Errorf("%s: %q, want %q", request, got, want)
			}
		}
	}
	for _, count := range []string{"-1", "9", "x", "01", "4294967297", "99999999999999999999", "-99999999999999999999", "1x"} {
		f("EVAL return "+count+" a", "EVAL_RO return "+count, "EVALSHA $SHA "+count, "EVALSHA_RO $SHA "+count)
		f("FCALL f "+count+" a", "FCALL_RO f "+count)
	}
	for _, count := range []string{"0", "-1", "9", "x", "01", "4294967297"} {
		f("ZUNION "+count+" a", "ZINTER "+count+" a", "ZDIFF "+count+" a", "ZINTERCARD "+count+" a")
		f("ZUNIONSTORE d "+count+" a", "ZINTERSTORE d "+count+" a", "ZDIFFSTORE d "+count+" a")
		f("SINTERCARD " + count + " a")
		f("LMPOP "+count+" a LEFT", "ZMPOP "+count+" a MIN", "BLMPOP 0 "+count+" a LEFT", "BZMPOP 0 "+count+" a MIN")
	}
	f("LMPOP 2 a LEFT", "ZMPOP 2 a MIN", "BLMPOP 0 2 a LEFT")
	f("MSET a 1 b", "MSETNX a 1 b")
	f("XREAD COUNT 1 a b", "XREAD STREAMS a b c", "XREAD COUNT x STREAMS a 0", "XREAD COUNT 1 STREAMS", "XREAD GROUP g c STREAMS a 0", "XREAD NOACK STREAMS a 0", "XREAD FOO STREAMS a 0", "XREAD COUNT 1 BLOCK STREAMS")
	f("XREADGROUP GROUP g c STREAMS a b c", "XREADGROUP COUNT 1 NOACK STREAMS a b", "XREADGROUP GROUP g c COUNT a b c", "XREADGROUP GROUP g c NOACK COUNT 1")
	f("SORT a STORE", "SORT a BY x STORE", "GEORADIUS a 1 1 1 m STORE", "GEORADIUSBYMEMBER a x 1 m STOREDIST")
	f("MIGRATE h 1 x 0 1 KEYS a", "MIGRATE h 1 x 0 1 FOO")
}
