package session_test

import (
	"strings"
	"testing"

	"ringway/internal/redistest"
)

func TestClientReplyModesDropRepliesInPlace(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c := p.dial()
	c.Send(encode("SET", "a", "1") + encode("CLIENT", "REPLY", "SKIP") + encode("GET", "a") + encode("GET", "a") +
		encode("CLIENT", "REPLY", "OFF") + strings.Repeat(encode("INCR", "n")+encode("PING")+encode("MGET", "a", "b", "c", "d")+encode("FOO"), 200) +
		encode("CLIENT", "REPLY", "SKIP") + encode("GET", "a") + encode("CLIENT", "REPLY", "ON") + encode("GET", "n") +
		encode("CLIENT", "REPLY", "SKIP") + encode("MGET", "a", "b", "c", "d") + encode("PING") + encode("CLIENT", "REPLY", "MAYBE"))
	c.expect("+OK\r\n", "$1\r\n1\r\n", "+OK\r\n", "$3\r\n200\r\n", "+PONG\r\n", "-ERR syntax error\r\n")
}

func TestClientReplySkipAppliesToARequestThatMustWait(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, _ := serveShards(t, 1)
	c := p.dial()
	for range 20 {
		c.Send(encode("GET", "a") + encode("CLIENT", "REPLY", "SKIP") + encode("BLPOP", "none", "0.01") + encode("PING"))
		c.expect("$-1\r\n", "+PONG\r\n")
	}
}
