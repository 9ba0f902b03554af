package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// scanAll scans from the beginning to the end, calls between after each step,
// and returns the keys, sorted, each once.
func scanAll(t *testing.T, c *raw, between func(step int), options ...string) []string {
	t.Helper()
	var keys []string
	cursor := "0"
	for step := 0; ; step++ {
		lines := strings.Split(c.Do(append([]string{"SCAN", cursor}, options...)...), "\r\n")
		if len(lines) < 4 || lines[0] != "*2" {
			t.Fatalf("SCAN %s: %q", cursor, lines)
		}
		cursor = lines[2]
		for i := 5; i < len(lines); i += 2 {
			keys = append(keys, lines[i])
		}
		if cursor == "0" {
			break
		}
		if between != nil {
			between(step)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func TestScanFindsEveryKeyOfEveryServer(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for _, shards := range []int{1, 4} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			p, _ := serveShards(t, shards)
			c, other := p.dial(), p.dial()
			if got := scanAll(t, c, nil); len(got) != 0 {
				t.Errorf("%q in an empty pool", got)
			}
			fill(t, c, 3000)
			// Others come and go meanwhile, so that tables grow and shrink.
			churn := func(step int) {
				for i := range 40 {
					other.Send(encode("SET", fmt.Sprintf("churn:%d:%d", step, i), "v") + encode("DEL", fmt.Sprintf("churn:%d:%d", step-20, i)))
				}
				for range 80 {
					other.Reply()
				}
			}
			for _, options := range [][]string{nil, {"COUNT", "100"}, {"MATCH", "*:key", "COUNT", "50", "TYPE", "string"}, {"COUNT", "100000"}} {
				keys := slices.DeleteFunc(scanAll(t, c, churn, options...), func(k string) bool { return strings.HasPrefix(k, "churn") })
				if len(keys) != 3000 {
					t.Errorf("%q: %d keys", options, len(keys))
				}
			}
			if got := scanAll(t, c, nil, "TYPE", "list", "COUNT", "1000"); len(got) != 0 {
				t.Errorf("%d lists", len(got))
			}
		})
	}
}

func TestScanCursorsAndOptionsAreReadAsByRedis(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c := p.dial()
	plain := redistest.Start(t)
	for _, args := range [][]string{
		{"x"}, {"1x"}, {" 1"}, {"1 "}, {"--1"}, {"-"}, {"+"}, {"1.5"}, {"0x10"}, {"18446744073709551616"}, {"-18446744073709551616"},
		{"0", "COUNT"}, {"0", "COUNT", "0"}, {"0", "COUNT", "x"}, {"0", "LIMIT", "1"}, {"x", "COUNT"},
	} {
		args = append([]string{"SCAN"}, args...)
		if got, want := c.Do(args...), plain.Do(args...); got != want {
			t.Errorf("%q: %q, Redis %q", args, got, want)
		}
	}
	for _, cursor := range []string{"", "+5", "-1", "007", "18446744073709551615", "1\x00x"} {
		got, want := c.Do("SCAN", cursor), plain.Do("SCAN", cursor)
		if !strings.HasPrefix(got, "*2\r\n") || !strings.HasPrefix(want, "*2\r\n") {
			t.Errorf("SCAN %q: %q, Redis %q", cursor, got, want)
		}
	}
}

func TestScanPassesOverEjectedServers(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for bad := range 3 {
		p, _ := ejectOne(t, 3, bad, true)
		c := p.dial()
		fill(t, c, 200)
		if got := len(scanAll(t, c, nil)); got != 200 {
			t.Errorf("server %d ejected: %d keys of 200", bad, got)
		}
	}
}

func TestScanOfAServerThatIsDownFails(t *testing.T) {
	t.Parallel()
	p, _ := ejectOne(t, 2, 1, false)
	c := p.dial()
	c.Send(encode("SCAN", "0") + encode("SCAN", "1") + encode("PING"))
	c.expect("*2\r\n$1\r\n1\r\n*0\r\n")
	if got := c.Reply(); !strings.HasPrefix(got, "-ERR Connection refused: server s2 is down (for ") || !strings.HasSuffix(got, " s): the request was not sent\r\n") {
		t.Errorf("%q", got)
	}
	c.expect("+PONG\r\n")
}

func TestLargeScanRepliesArePassedOnInOrder(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	c := p.dial()
	fill(t, c, 8000)
	request := encode("SCAN", "0", "COUNT", "100000")
	c.Send(encode("DBSIZE") + request + request + encode("DBSIZE"))
	c.expect(":8000\r\n")
	first := c.Reply()
	if second := c.Reply(); first != second || !strings.HasPrefix(first, "*2\r\n$1\r\n1\r\n*") {
		t.Errorf("%.60q, then %.60q", first, second)
	}
	c.expect(":8000\r\n")
}
