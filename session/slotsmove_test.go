package session_test

import (
	"strings"
	"testing"

	"ringway/conf"
)

// Once a server has said to one client of the pool that a slot is on its way, a request for several
// keys that has to wait for the move is not overtaken by what its client sends behind it, on
// whichever loop that client is.
func TestRequestForSeveralKeysOfAMovingSlotKeepsItsOrder(t *testing.T) {
	t.Parallel()
	p, _, cluster := serveCluster(t, conf.OneShard)
	from, to := cluster.Servers[0], cluster.Servers[1]
	tag := keysOf(1, 0, 2)[0]
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c := p.dial()
	c.Do("PING")
	if len(p.server.Workers()) > 1 {
		p.moveAll(1)
		eventually(t, "the client is on loop 1", func() bool { return p.sessions()[1] == 1 })
	}
	other := p.dial()
	c.Do("MSET", tag+"1", "old", tag+"2", "old")
	must(cluster.StartMove(slot(tag), from, to))
	must(cluster.MoveKeys(from, to, tag+"1"))
	other.Send(encode("GET", tag+"none")) // -ASK
	other.expect("$-1\r\n")
	p.sessions() // every loop has been told
	c.Send(encode("MSET", tag+"1", "first", tag+"2", "first") + encode("SET", tag+"1", "second"))
	eventually(t, "the MSET is refused", func() bool { return strings.Contains(from.Do("INFO", "errorstats"), "TRYAGAIN") })
	must(cluster.MoveAllKeys(slot(tag), from, to))
	must(cluster.EndMove(slot(tag), from, to))
	c.expect("+OK\r\n", "+OK\r\n")
	if got := c.Do("MGET", tag+"1", tag+"2"); got != "*2\r\n$6\r\nsecond\r\n$5\r\nfirst\r\n" {
		t.Errorf("%q", got)
	}
}
