package command

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ringway/resp"
)

// ask returns the table's reply to a request, and checks that it is a single reply.
func ask(t *testing.T, protocol resp.Protocol, args ...string) any {
	t.Helper()
	request := byteArgs(args...)
	c, problem := Lookup(request)
	if problem != NoProblem || !c.ArityOK(len(request)) {
		t.Fatalf("%q: problem %v or arity", args, problem)
	}
	b, ok := AppendTableReply([]byte("+before\r\n"), c, request, protocol, unguarded)
	if !ok || !strings.HasPrefix(string(b), "+before\r\n") {
		t.Fatalf("%q: answered %v: %.100q", args, ok, b)
	}
	return parseReply(t, b[len("+before\r\n"):])
}

func TestCommandShowsOnlyWhatIsServed(t *testing.T) {
	all := ask(t, resp.RESP2, "COMMAND").([]any)
	if got := ask(t, resp.RESP2, "COMMAND", "COUNT"); got != len(all) {
		t.Errorf("COUNT is %v, COMMAND lists %d", got, len(all))
	}
	if got := ask(t, resp.RESP2, "command", "info").([]any); len(got) != len(all) {
		t.Errorf("INFO lists %d, COMMAND %d", len(got), len(all))
	}
	listed := map[string]bool{}
	for _, name := range ask(t, resp.RESP2, "COMMAND", "LIST").([]any) {
		listed[name.(string)] = true
	}
	for _, name := range []string{"get", "mget", "ping", "client", "client|setname", "eval", "object|encoding", "memory|usage"} {
		if !listed[name] {
			t.Errorf("%s is not listed", name)
		}
	}
	for _, name := range []string{"sflush", "swapdb", "keys", "shutdown", "config", "config|get", "client|pause", "cluster"} {
		if listed[name] {
			t.Errorf("%s is listed but not served", name)
		}
	}
	for _, element := range all {
		name := element.([]any)[0].(string)
		if !listed[name] {
			t.Errorf("COMMAND shows %s, LIST does not", name)
		}
	}
}

func TestCommandListFilters(t *testing.T) {
	f := func(want string, filter ...string) {
		t.Helper()
		got := ask(t, resp.RESP2, append([]string{"COMMAND", "LIST"}, filter...)...)
		if fmt.Sprint(got) != want {
			t.Errorf("%q: %v, want %s", filter, got, want)
		}
	}
	f("[xread xreadgroup xrevrange]", "FILTERBY", "PATTERN", "xre*")
	f("[getdel getset]", "filterby", "pattern", "GET?[tel]*")
	f("[]", "FILTERBY", "PATTERN", "[")
	f("[]", "FILTERBY", "MODULE", "json")
	f("[]", "FILTERBY", "ACLCAT", "nope")
	f("[geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro geosearch geosearchstore]", "FILTERBY", "ACLCAT", "GEO")
	f("ERR syntax error", "FILTERBY", "COLOUR", "red")
	f("ERR syntax error", "FILTERBY", "PATTERN")
	f("ERR syntax error", "SORTBY", "PATTERN", "x")
}

func TestCommandInfoAndDocsOfNames(t *testing.T) {
	info := ask(t, resp.RESP2, "COMMAND", "INFO", "GET", "nope", "shutdown", "client|ID").([]any)
	if len(info) != 4 || info[0].([]any)[0] != "get" || info[1] != nil || info[2] != nil || info[3].([]any)[0] != "client|id" {
		t.Errorf("INFO: %v", info)
	}
	if got := ask(t, resp.RESP3, "COMMAND", "INFO", "nope"); got.([]any)[0] != nil {
		t.Errorf("INFO of an unknown command in RESP3: %v", got)
	}
	docs := ask(t, resp.RESP3, "COMMAND", "DOCS", "mget", "nope", "client").(pairs)
	if len(docs) != 4 || docs[0] != "mget" || docs[2] != "client" {
		t.Fatalf("DOCS: %v", docs)
	}
	want := `(string:summary=string:Split over the shards of its keys; the replies become one: array in request order. string:since=string:1.0.0 string:group=string:string)`
	if got := canonical(docs[1]); got != want {
		t.Errorf("DOCS MGET: %s", got)
	}
	if got := canonical(docs[3]); !strings.Contains(got, "string:subcommands=(string:client|caching=(string:summary=") {
		t.Errorf("DOCS CLIENT: %s", got)
	}
}

func TestNamesThatOnlyLookLikeCommandsAreUnknown(t *testing.T) {
	for _, name := range []string{"", "|", "get|", "get|x", "client|", "client|nope", "|id", "client|id|", "object|help "} {
		if c := (&replyBuilder{permitted: unguarded}).lookup([]byte(name)); c != nil {
			t.Errorf("%q is %s", name, c.Name)
		}
	}
}

func TestManyNamesDoNotMakeAHugeReply(t *testing.T) {
	args := append([]string{"COMMAND", "INFO"}, slices.Repeat([]string{"client"}, Count()+1)...)
	for _, sub := range []string{"INFO", "DOCS"} {
		args[1] = sub
		if got := ask(t, resp.RESP2, args...); got != errTooManyNames {
			t.Errorf("%s: %.100v", sub, got)
		}
	}
}

func TestRESP2RepliesAreRESP3RepliesAsARedisDowngradesThem(t *testing.T) {
	for _, request := range []string{"COMMAND", "COMMAND INFO get nope", "COMMAND DOCS", "COMMAND LIST", "COMMAND GETKEYSANDFLAGS SET a b", "OBJECT HELP"} {
		args := strings.Fields(request)
		if got, want := canonical(ask(t, resp.RESP2, args...)), canonical(downgraded(ask(t, resp.RESP3, args...))); got != want {
			t.Errorf("%s: RESP2 is not RESP3 downgraded", request)
		}
	}
}

func TestHelp(t *testing.T) {
	got := fmt.Sprint(ask(t, resp.RESP2, "object", "help"))
	if want := "[This proxy serves these subcommands of OBJECT: ENCODING FREQ HELP IDLETIME REFCOUNT]"; got != want {
		t.Errorf("%s", got)
	}
	for i := range table {
		if c := &table[i]; c.Route == Local && strings.HasSuffix(c.Name, "|help") {
			ask(t, resp.RESP2, strings.Split(c.Name, "|")...)
		}
	}
}

func TestOtherLocalCommandsAreNotTheTables(t *testing.T) {
	for _, request := range []string{"PING", "CLIENT ID", "GET a"} {
		args := byteArgs(strings.Fields(request)...)
		c, _ := Lookup(args)
		if b, ok := AppendTableReply([]byte("x"), c, args, resp.RESP2, unguarded); ok || string(b) != "x" {
			t.Errorf("%s: %q, %v", request, b, ok)
		}
	}
}

func TestGetkeysErrors(t *testing.T) {
	conn := liveServer(t)
	for _, request := range []string{"FOO BAR", "OBJECT FOO", "PUBLISH a b", "SPUBLISH a b", "GET a b", "OBJECT ENCODING", "ZUNION x a"} {
		args := append([]string{"COMMAND", "GETKEYS"}, strings.Fields(request)...)
		if got, want := ask(t, resp.RESP2, args...), conn.do(args...); got != want {
			t.Errorf("%s: %v, want %v", request, got, want)
		}
	}
}

func TestGetkeysandflagsAgreesWithTheServer(t *testing.T) {
	conn := liveServer(t)
	conn.do("HELLO", "3")
	rng := rand.New(rand.NewPCG(5, 6))
	f := func(request [][]byte) {
		t.Helper()
		args := []string{"COMMAND", "GETKEYSANDFLAGS"}
		for _, arg := range request {
			args = append(args, string(arg))
		}
		theirs := conn.do(args...)
		if _, ok := theirs.(ReplyError); ok {
			return
		}
		if got, want := canonical(ask(t, resp.RESP3, args...)), canonical(theirs); got != want {
			t.Errorf("%q: %s, want %s", request, got, want)
		}
	}
	for i := range table {
		c := &table[i]
		// The other finders differ from the server for requests that it refuses.
		if !slices.Contains([]finder{findRange, findNumkeys}, c.find) || conn.unknown(c.Name) {
			continue
		}
		for range 20 {
			if request := randomRequest(rng, c); c.served(request) {
				f(request)
			}
		}
	}
	for _, request := range []string{"SET a b GET", "SET a b EX 1", "BITFIELD a GET u8 0", "BITFIELD a GET u8 0 SET u8 0 1", "BITFIELD a OVERFLOW WRAP GET u8 0", "BITFIELD a",
		"SORT a STORE b", "SORT_RO a", "GEORADIUS a 1 2 3 m STORE b", "GEORADIUS a 1 2 3 m STOREDIST b", "XREAD STREAMS a 0", "XREADGROUP GROUP g c STREAMS a b > >",
		"MIGRATE h 1 a 0 1"} {
		f(byteArgs(strings.Fields(request)...))
	}
	f(byteArgs("MIGRATE", "h", "1", "", "0", "1", "KEYS", "a", "b"))
}

// served reports whether Keys finds the keys of a request.
func (c *Command) served(args [][]byte) bool {
	_, err := c.Keys(args, nil)
	return err == nil
}

// unguarded permits the commands of a pool without allow_commands.
func unguarded(c *Command) bool { return !c.Guarded }

func TestCommandShowsWhatThePoolPermits(t *testing.T) {
	for _, name := range []string{"config", "config|get", "get"} {
		c, _ := Lookup(byteArgs("command", "list"))
		list := func(permitted func(*Command) bool) string {
			b, _ := AppendTableReply(nil, c, byteArgs("command", "list", "filterby", "pattern", name), resp.RESP2, permitted)
			return string(b)
		}
		if got := list(func(*Command) bool { return true }); !strings.HasPrefix(got, "*1\r\n") {
			t.Errorf("%s, though permitted: %q", name, got)
		}
		if got := list(func(*Command) bool { return false }); got != "*0\r\n" {
			t.Errorf("%s, though not permitted: %q", name, got)
		}
	}
}
