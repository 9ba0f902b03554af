package command

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ringway/resp"
)

// keysOf returns the keys of a request by Keys, or its error.
func keysOf(args [][]byte) ([]string, error) {
	c, problem := Lookup(args)
	if problem != NoProblem {
		return nil, ReplyError("unknown")
	}
	positions, err := c.Keys(args, nil)
	var keys []string
	for _, at := range positions {
		keys = append(keys, string(args[at]))
	}
	return keys, err
}

func TestKeys(t *testing.T) {
	f := func(request, want string) {
		t.Helper()
		got, err := keysOf(byteArgs(strings.Split(request, " ")...))
		if err != nil {
			got = []string{"error:", err.Error()}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
	f("PING", "")
	f("GET a", "a")
	f("MGET a b a", "a b a")
	f("MSET a 1 b 2", "a b")
	f("MSET a 1 b", "error: ERR wrong number of arguments for 'mset' command")
	f("BLPOP a b 0", "a b")
	f("BITOP AND d a b", "d a b")
	f("RENAME a b", "a b")
	f("OBJECT ENCODING a", "a")
	f("XGROUP CREATE a g $", "a")
	f("EVAL s 2 a b c", "a b")
	f("EVAL s 0 a", "")
	f("EVAL s 18446744073709551617 a", "error: ERR value is not an integer or out of range")
	f("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d a b")
	f("BZMPOP 0 1 a MIN", "a")
	f("SORT a BY store LIMIT 0 store GET store STORE d STORE e", "a e")
	f("SORT_RO a BY x GET y", "a")
	f("SORT_RO a STORE b", "a") // the server's syntax error
	f("GEORADIUS a 1 2 3 m COUNT STORE STORE d", "a d")
	f("GEORADIUSBYMEMBER a x 3 m storedist d ASC", "a d")
	f("XREAD BLOCK 0 COUNT 2 STREAMS a b 0 0", "a b")
	f("MIGRATE h 1 a 0 1 AUTH KEYS COPY", "a")
	f("MIGRATE h 1  0 1 AUTH2 KEYS KEYS KEYS a b", "a b")

	// Newer than the server that the tests run.
	f("MSETEX 2 a 1 b 2 EX 10", "a b")
	f("MSETEX 2 a 1 b", "error: ERR syntax error")
	f("SUNIONCARD 2 a b LIMIT 1", "a b")
	f("LMOVEM a b LEFT RIGHT", "a b")
	f("HGETEX a FIELDS 1 f", "a")
	f("XREADGROUP GROUP g c CLAIM 100 STREAMS a >", "a")
	f("JSON.MGET a b $", "a b")
	f("JSON.MSET a $ 1 b $ 2", "a b")
	f("JSON.MSET a $ 1 b $", "error: ERR wrong number of arguments for 'json.mset' command")
	f("TS.MADD a 1 2 b 3 4", "a b")
	f("CMS.MERGE d 2 a b", "d a b")
	f("VSIM a ELE x", "a")

	// A consumer or group with the name of an option: Redis's COMMAND GETKEYS
	// is wrong here, the command itself is not.
	f("XREADGROUP COUNT 1 GROUP g STREAMS STREAMS a >", "a")
	f("XREADGROUP GROUP STREAMS BLOCK STREAMS a >", "a")
}

func TestTheServerReadsTheStreamThatKeysNames(t *testing.T) {
	conn := liveServer(t)
	conn.do("XGROUP", "CREATE", "a", "g", "0", "MKSTREAM")
	conn.do("XADD", "a", "1-1", "f", "v")
	got := canonical(conn.do("XREADGROUP", "COUNT", "1", "GROUP", "g", "STREAMS", "STREAMS", "a", ">"))
	if !strings.Contains(got, "string:a") || !strings.Contains(got, "string:1-1") {
		t.Errorf("a consumer called STREAMS read %s, not the stream a", got)
	}
}

func TestBlocks(t *testing.T) {
	f := func(request string, want bool) {
		t.Helper()
		args := byteArgs(strings.Split(request, " ")...)
		c, _ := Lookup(args)
		if got := c.Blocks(args); got != want {
			t.Errorf("%s: %v", request, got)
		}
	}
	f("GET block", false)
	f("BLPOP a 0", true)
	f("WAIT 1 0", true)
	f("XREAD STREAMS block 0", false)
	f("XREAD COUNT 1 block 0 STREAMS a 0", true)
	f("XREADGROUP GROUP block block STREAMS a >", false)
	f("XREADGROUP GROUP g c BLOCK 0 STREAMS a >", true)
	f("TS.READ block 0", false)
	f("TS.READ a 0 BLOCK 100 1", true)
}

func TestReach(t *testing.T) {
	f := func(request string, want Reach) {
		t.Helper()
		args := byteArgs(strings.Split(request, " ")...)
		c, _ := Lookup(args)
		if got := c.Reach(args); got != want {
			t.Errorf("%s: %v", request, got)
		}
	}
	f("GET a", ReachKeys)
	f("SORT a LIMIT 0 1 DESC", ReachKeys)
	f("SORT a BY nosort GET #", ReachKeys)
	f("SORT a BY weight_*", ReachPatterns)
	f("SORT_RO a GET # GET name_*", ReachPatterns)
	f("SORT a STORE by", ReachKeys)
	f("SORT a BY", ReachKeys)
	f("COPY a b REPLACE", ReachKeys)
	f("COPY db db", ReachKeys)
	f("COPY a b DB 1", ReachDatabase)
	f("EVAL s 1 a", ReachScript)
	f("FCALL_RO f 0", ReachScript)
	f("ZUNION 1 a", ReachKeys)
}

// randomWords are words that matter for finding keys, for random requests.
var randomWords = strings.Fields(`a b c d e k1 k2 k3 0 1 2 3 4 -1 x 01 9 4294967297 99999999999999999999
	store STORE storedist STOREDIST by get limit count COUNT block streams STREAMS STREAMS group noack
	keys KEYS auth auth2 copy replace left min withdist m weights and`)

// randomRequest returns a request of c with a permitted number of arguments.
func randomRequest(rng *rand.Rand, c *Command) [][]byte {
	args := byteArgs(strings.Split(c.Name, "|")...)
	n := max(c.Arity, -c.Arity)
	if c.Arity < 0 {
		n += rng.IntN(8)
	}
	for len(args) < n {
		word := randomWords[rng.IntN(len(randomWords))]
		if rng.IntN(40) == 0 {
			word = ""
		}
		args = append(args, []byte(word))
	}
	switch c.find {
	case findStreams: // or hardly any list would be right
		if rng.IntN(2) == 0 {
			copy(args[1:], byteArgs("GROUP", "g", "c", "STREAMS"))
		} else {
			args[1] = []byte("STREAMS")
		}
	case findMigrate:
		if rng.IntN(2) == 0 {
			args[3] = nil
		}
	}
	return args
}

func TestKeysAgreeWithCommandGetkeys(t *testing.T) {
	conn := liveServer(t)
	rng := rand.New(rand.NewPCG(3, 4))
	compared, commands := 0, 0
	for i := range table {
		c := &table[i]
		if c.find == findNone || conn.unknown(c.Name) {
			continue
		}
		commands++
		rounds := 20
		if c.find != findRange {
			rounds = 400
		}
		for range rounds {
			compared++
			compareKeys(t, conn, c, randomRequest(rng, c))
		}
	}
	t.Logf("%d requests of %d commands", compared, commands)
	if commands < 190 || compared < 10000 {
		t.Errorf("only %d requests of %d commands", compared, commands)
	}
}

func compareKeys(t *testing.T, conn *liveConn, c *Command, args [][]byte) {
	t.Helper()
	reply := conn.doBytes(append(byteArgs("COMMAND", "GETKEYS"), args...))
	ours, err := keysOf(args)
	theirs, ok := reply.([]any)
	var want []string
	for _, key := range theirs {
		want = append(want, key.(string))
	}
	switch {
	case !ok && err != nil:
	case !ok && c.Name == "pfmerge" && len(args) == 2 && slices.Equal(ours, []string{string(args[1])}):
		// COMMAND GETKEYS wants a source too, which the command does without.
	case !ok:
		// COMMAND GETKEYS gives up on what SORT and the like would refuse; what
		// Keys lets pass must then be refused by the server.
		if !refuses(conn, c, args) {
			t.Errorf("%q: keys %q, but the server has %v", args, ours, reply)
		}
	case err != nil:
		// Stricter than COMMAND GETKEYS, but no stricter than the command.
		if !refuses(conn, c, args) {
			t.Errorf("%q: %v, but the server finds %q and runs it", args, err, want)
		}
	case slices.Equal(ours, want):
	case (c.find == findSort || c.find == findGeo || c.find == findStreams) && refuses(conn, c, args):
		// Two interpretations of a request that the server refuses.
	case c.find == findGeo && covers(ours, want):
	case c.find == findStreams && serverTakes(conn, c, args, ours):
	default:
		t.Errorf("%q: keys %q, the server has %q", args, ours, want)
	}
}

// refuses reports whether the server answers a request with an error. MIGRATE
// would try to connect, so it is judged by its arguments here.
func refuses(conn *liveConn, c *Command, args [][]byte) bool {
	if c.find == findMigrate {
		return true
	}
	_, refused := conn.doBytes(args).(ReplyError)
	return refused
}

// covers reports whether every key of want is among ours.
func covers(ours, want []string) bool {
	for _, key := range want {
		if !slices.Contains(ours, key) {
			return false
		}
	}
	return true
}

// serverTakes is for XREADGROUP with a group, consumer or key spelled like an
// option, where COMMAND GETKEYS reads another list than the command: the
// command's own error about a missing group names a key.
func serverTakes(conn *liveConn, c *Command, args [][]byte, ours []string) bool {
	e, ok := conn.doBytes(args).(ReplyError)
	return ok && len(ours) > 0 && strings.Contains(string(e), fmt.Sprintf("key '%s'", ours[0]))
}

func FuzzKeys(f *testing.F) {
	for _, request := range []string{
		"GET a", "MSET a 1 b", "EVAL s 2 a b", "EVAL s 9223372036854775807 a", "ZUNIONSTORE d 1 a", "SORT a STORE", "SORT a BY",
		"GEORADIUS a 1 2 3 m STORE d", "XREAD STREAMS a 0", "XREADGROUP GROUP g", "MIGRATE h 1  0 1 KEYS a", "BITOP", "OBJECT", "MSETEX 3 a b",
		"COMMAND INFO get", "COMMAND GETKEYS SET", "COMMAND GETKEYSANDFLAGS BITFIELD a GET", "COMMAND LIST FILTERBY PATTERN [a", "TS.READ",
	} {
		f.Add(request)
	}
	f.Fuzz(func(t *testing.T, request string) {
		args := byteArgs(strings.Split(request, " ")...)
		c, problem := Lookup(args)
		if problem != NoProblem {
			return
		}
		c.Blocks(args)
		c.Reach(args)
		keys, err := c.Keys(args, []int{-7})
		if len(keys) == 0 || keys[0] != -7 {
			t.Fatalf("%q: what was there before is gone: %v", request, keys)
		}
		seen := map[int]bool{}
		for _, at := range keys[1:] {
			if at < 1 || at >= len(args) || seen[at] {
				t.Fatalf("%q: key positions %v", request, keys)
			}
			seen[at] = true
		}
		if c.ArityOK(len(args)) && c.SoleKey != 0 && (err != nil || len(keys) != 2 || keys[1] != c.SoleKey) {
			t.Fatalf("%q: keys %v, error %v, but the only key is %d", request, keys, err, c.SoleKey)
		}
		if !c.ArityOK(len(args)) {
			return
		}
		for protocol := range resp.Protocols {
			if b, ok := AppendTableReply(nil, c, args, protocol, unguarded); ok {
				parseReply(t, b)
			}
		}
	})
}
