package session_test

import (
	"regexp"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// asInside are transactions of requests that the proxy runs itself, separated by |.
var asInside = []string{
	"INFO nosuchsection", "CLIENT GETNAME", "CLIENT SETNAME n|CLIENT GETNAME|SET {t}a 1|CLIENT GETNAME", "SET {t}a 1|CLIENT SETNAME m|GET {t}a|CLIENT GETNAME",
	"CLIENT SETNAME", "CLIENT FOO", "CLIENT KILL ID 9999", "CLIENT UNBLOCK 9999", "CLIENT LIST ID 9999", "CLIENT NO-EVICT ON|GET {t}a", "CLIENT REPLY ON",
	"CLIENT TRACKING ON|GET {t}a|CLIENT TRACKINGINFO|CLIENT GETREDIR", "CLIENT TRACKING ON BCAST PREFIX zz|CLIENT TRACKINGINFO|CLIENT TRACKING OFF|CLIENT GETREDIR",
	"CLIENT CACHING YES|GET {t}a", "CLIENT TRACKING ON OPTIN|CLIENT CACHING YES|GET {t}a",
	"ACL WHOAMI|GET {t}a", "HELLO 9|GET {t}a", "HELLO 3 AUTH x y|GET {t}a", "AUTH x|GET {t}a", "HELLO 3|HGETALL {t}h", "HELLO 2|HGETALL {t}h", "HELLO x",
	"SUBSCRIBE c", "SUBSCRIBE c|GET {t}a", "SUBSCRIBE d e|GET {t}a", "UNSUBSCRIBE", "UNSUBSCRIBE a b|GET {t}a", "PSUBSCRIBE p*", "PUNSUBSCRIBE x", "SSUBSCRIBE s", "MONITOR",
	"PUBSUB NUMSUB x|SET {t}a 1", "PUBSUB CHANNELS|PUBSUB NUMPAT", "PING|PING hi|ECHO x", "UNWATCH|GET {t}a", "SELECT 0|GET {t}a", "SELECT 99",
	"COMMAND GETKEYS GET a", "WATCH a", "MULTI", "RESET", "DISCARD", "SAVE", "SHUTDOWN", "NOSUCH|GET {t}a", "GET",
	"MSET {t}a 1 {t}b", "ZUNION x {t}a", "SET {t}a 1|EVAL x y",
}

// varying is what differs between two clients or servers.
var varying = regexp.MustCompile(`:\d+\r\n\$4\r\nmode|\$\d+\r\n\d+\.\d+\.\d+\r\n`)

// What the proxy runs itself is queued, and answered in its place, as by one Redis.
func TestProxysOwnCommandsInsideTransactions(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	for _, shards := range []int{1, 4} {
		cfg := config(t, addrs(redistest.StartN(t, shards))...)
		cfg.Pools[0].AllowCommands = []string{"config", "monitor", "save"}
		p := serve(t, cfg)
		for _, hello := range []string{"", "3"} {
			for _, requests := range asInside {
				var got [2]string
				for i, addr := range []string{redis.Addr(), p.addr} {
					got[i] = exchangeInside(t, addr, hello, requests)
				}
				if got[0] != got[1] {
					t.Errorf("%d shards, HELLO %s, %s:\nRedis   %q\nRingway %q", shards, hello, requests, got[0], got[1])
				}
			}
		}
	}
}

// exchangeInside sends requests in a transaction, and returns all replies.
func exchangeInside(t *testing.T, addr, hello, requests string) string {
	c := dialAt(t, addr)
	defer c.Close()
	if hello != "" {
		c.Do("HELLO", hello)
	}
	var b strings.Builder
	b.WriteString(c.Do("MULTI"))
	for request := range strings.SplitSeq(requests, "|") {
		b.WriteString(c.Do(strings.Split(request, " ")...))
	}
	c.Send(encode("EXEC") + encode("ECHO", "the end"))
	for !strings.HasSuffix(b.String(), "the end\r\n") && !strings.Contains(b.String(), "Can't execute 'echo'") {
		b.WriteString(c.Reply())
	}
	return varying.ReplaceAllString(b.String(), "…")
}
