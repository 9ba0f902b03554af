package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

func TestClientUnblockEndsTheWait(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	c, blocked := p.dial(), p.dial()
	id := strings.Trim(blocked.Do("CLIENT", "ID"), ":\r\n")
	for i, test := range []struct{ mode, reply string }{
		{"", "*-1\r\n"}, {"TIMEOUT", "*-1\r\n"}, {"error", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"},
	} {
		request := []string{"CLIENT", "UNBLOCK", id, test.mode}
		if test.mode == "" {
			request = request[:3]
		}
		if got := c.Do(request...); got != ":0\r\n" {
			t.Errorf("unblocked although not blocked: %q", got)
		}
		blocked.Send(encode("BLPOP", keys[i%2], "0"))
		awaitBlocked(t, servers[i%2], 1)
		list := c.Do("CLIENT", "LIST", "ID", id)
		if !strings.Contains(list, " flags=b ") || !strings.Contains(list, " cmd=blpop ") {
			t.Errorf("not shown as blocked: %s", list)
		}
		c.eventuallyReplies(":1\r\n", request...)
		blocked.expect(test.reply)
	}
	c.Send(encode("CLIENT", "UNBLOCK", "x") + encode("CLIENT", "UNBLOCK", id, "MAYBE") + encode("CLIENT", "UNBLOCK", "987654"))
	c.expect("-ERR value is not an integer or out of range\r\n", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n", ":0\r\n")
	blocked.Send(encode("BLPOP", keys[0], "0"))
	awaitBlocked(t, servers[0], 1)
	c.Do("RPUSH", keys[0], "x")
	blocked.expect(fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$1\r\nx\r\n", len(keys[0]), keys[0]))
}

func TestClientListShowsWhatClientsDo(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	c, sub, tx := p.dial(), p.dial(), p.dial()
	sub.Do("SUBSCRIBE", "a")
	sub.Do("PSUBSCRIBE", "b*")
	tx.Send(encode("CLIENT", "NO-EVICT", "on") + encode("MULTI") + encode("INCR", "n"))
	tx.expect("+OK\r\n", "+OK\r\n", "+QUEUED\r\n")
	c.Send(encode("CLIENT", "LIST"))
	list := c.Reply()
	for _, want := range []string{
		" flags=P db=0 sub=1 psub=1 ssub=0 multi=-1 ", " cmd=psubscribe ", " flags=xe db=0 sub=0 psub=0 ssub=0 multi=1 ", " cmd=incr ",
		" flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=26 ", " cmd=client|list ",
	} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in %s", want, list)
		}
	}
	if got := c.Do("CLIENT", "LIST", "TYPE", "pubsub"); strings.Count(got, "id=") != 1 || !strings.Contains(got, "flags=P") {
		t.Errorf("the subscribers are %s", got)
	}
	if got := c.Do("CLIENT", "KILL", "TYPE", "pubsub"); got != ":1\r\n" {
		t.Errorf("killed %q", got)
	}
	redistest.Eventually(t, 5*time.Second, "the subscriber is gone", func() bool { return strings.Count(c.Do("CLIENT", "LIST"), "id=") == 2 })
}
