package session_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// What a connection's state is made of, and the commands that change it, or leave it.
var (
	stateOpenings = []string{
		"", "SELECT 3", "CLIENT SETNAME me", "CLIENT NO-EVICT ON", "CLIENT REPLY OFF", "CLIENT REPLY SKIP", "CLIENT REPLY SKIP;CLIENT REPLY OFF",
		"WATCH a:1", "WATCH a:1;SELECT 3", "WATCH a:1;CHANGE", "MULTI;SET a:1 tx", "MULTI;NOSUCH", "WATCH a:1;MULTI;SET a:1 tx", "WATCH a:1;MULTI;SET a:1 tx;CHANGE", "HELLO 3", "HELLO 3;WATCH a:1",
		"HELLO 3 SETNAME me", "HELLO 3;CLIENT TRACKING ON;GET a:1", "HELLO 3;CLIENT TRACKING ON BCAST PREFIX a:", "HELLO 3;CLIENT TRACKING ON OPTIN;CLIENT CACHING YES",
		"SUBSCRIBE ch", "HELLO 3;SUBSCRIBE ch", "PSUBSCRIBE p*", "AUTH bob pw", "AUTH bob pw;WATCH a:1", "HELLO 3 AUTH bob pw SETNAME me", "AUTH bob pw;CLIENT REPLY OFF",
		"AUTH bob pw;SELECT 3;WATCH a:1", "WATCH a:1;AUTH bob pw", "WATCH a:1;HELLO 3 AUTH bob pw",
	}
	stateChanges = []string{
		"RESET", "RESET;AUTH bob pw", "AUTH bob pw", "AUTH ro pw", "AUTH bob wrong", "AUTH default any", "HELLO", "HELLO 2", "HELLO 3", "HELLO 4", "HELLO 3 AUTH ro pw", "HELLO 2 AUTH bob wrong",
		"SELECT 0", "SELECT 2", "SELECT 99", "SELECT x", "DISCARD", "UNWATCH", "EXEC", "RESET;RESET", "AUTH ro pw;RESET",
	}
	inMulti     = "RESET;RESET DISCARD EXEC"
	stateProbes = "GET a:1;GET db;GET b:1;CLIENT GETNAME;ACL WHOAMI;MULTI;GET a:1;GET db;EXEC;CLIENT TRACKINGINFO;CLIENT GETREDIR;CLIENT INFO;SET a:1 y;GET b:1;WATCH a:1;MULTI;GET a:1;EXEC"
)

// TestStateOfAConnection goes through what clients may have opened, what ends or
// changes it, and looks at everything that may have stayed. A Redis and a pool of one
// must say the same.
func TestStateOfAConnection(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	behind, plain := redistest.Start(t), redistest.Start(t)
	cfg := config(t, behind.Addr())
	cfg.Pools[0].ACLUsers, cfg.Pools[0].Databases = 4, 16
	p := serve(t, cfg)
	for _, s := range []*redistest.Server{behind, plain} {
		s.Do("ACL", "SETUSER", "bob", "on", ">pw", "~a:*", "~db", "&*", "+@all")
		s.Do("ACL", "SETUSER", "ro", "on", ">pw", "~a:*", "~db", "resetchannels", "-@all", "+get", "+watch", "+multi", "+exec", "+echo", "+client|reply")
	}
	changers := []*raw{{redistest.Dial(t, "tcp", plain.Addr()), t}, p.dial()}
	for _, opening := range stateOpenings {
		for _, change := range stateChanges {
			if strings.Contains(opening, "MULTI") && !strings.Contains(inMulti, change) {
				continue // the proxy does not queue these
			}
			var said [2][]string
			for i, addr := range []string{plain.Addr(), p.addr} {
				c := dialAt(t, addr)
				c.Send(encode("MSET", "a:1", "1", "b:1", "2", "db", "0"))
				c.Reply()
				changers[i].Do("SELECT", "3")
				changers[i].Do("MSET", "a:1", "1", "b:1", "2", "db", "3")
				changers[i].Do("SELECT", "0")
				said[i] = converse(c, changers[i], opening+";"+change+";"+stateProbes)
				c.Close()
			}
			if a, b := strings.Join(said[0], "\n"), strings.Join(said[1], "\n"); a != b {
				t.Errorf("%s | %s:\n%s", opening, change, differences(said[0], said[1]))
			}
		}
	}
}

// converse sends requests and returns what comes back, in order: after CLIENT REPLY
// OFF not everything is answered.
func converse(c, other *raw, requests string) (said []string) {
	var batch strings.Builder
	sent := 0
	for _, request := range strings.Split(requests+";CLIENT REPLY ON;AUTH default x;PING end-of-it", ";") {
		switch request {
		case "":
		case "CHANGE": // of keys that are watched by now
			c.Send(batch.String())
			batch.Reset()
			for ; sent > 0; sent-- {
				said = append(said, normalized(c.Reply()))
			}
			other.Do("SET", "a:1", "changed")
		default:
			batch.WriteString(encode(strings.Fields(request)...))
			sent++
		}
	}
	c.Send(batch.String())
	for {
		reply := c.Reply()
		if strings.Contains(reply, "end-of-it") {
			return said
		}
		if !strings.HasPrefix(reply, ">2\r\n$10\r\ninvalidate") { // these come when they come
			said = append(said, normalized(reply))
		}
	}
}

var (
	volatile = regexp.MustCompile(` ?\b(?:id|addr|laddr|fd|age|idle|qbuf|qbuf-free|argv-mem|multi-mem|rbs|rbp|obl|oll|omem|tot-mem|events|cmd|redir|lib-name|lib-ver)=\S*`)
	size     = regexp.MustCompile(`^[$=]\d+\r\n`)
	version  = regexp.MustCompile(`\$\d\r\n\d\.\d\.\d+\r\n`)
	helloID  = regexp.MustCompile(`\$2\r\nid\r\n:\d+`)
)

// normalized returns a reply without what differs between two connections.
func normalized(reply string) string {
	if strings.Contains(reply, "addr=") {
		reply = volatile.ReplaceAllString(size.ReplaceAllString(reply, ""), "")
	}
	return fmt.Sprintf("%q", version.ReplaceAllString(helloID.ReplaceAllString(reply, "id"), ""))
}

func differences(a, b []string) string {
	var d strings.Builder
	at := func(said []string, i int) string {
		if i < len(said) {
			return said[i]
		}
		return "nothing"
	}
	for i := range max(len(a), len(b)) {
		if at(a, i) != at(b, i) {
			fmt.Fprintf(&d, "  redis   %s\n  ringway %s\n", at(a, i), at(b, i))
		}
	}
	return d.String()
}
