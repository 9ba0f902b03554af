package session_test

import (
	"strconv"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pool"
)

// serveBlocked runs a proxy in front of a fake primary. The primary sends each blocking request
// that it gets to requests, and answers it with the next of replies.
func serveBlocked(t *testing.T, change func(*conf.Pool)) (p *proxy, requests chan []string, replies chan string) {
	t.Helper()
	requests, replies = make(chan []string, 16), make(chan string, 16)
	fake := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		switch args[0] {
		case "CLIENT":
			c.Reply(":7\r\n")
		case "BLPOP", "XREAD", "BLMPOP":
			requests <- args
			c.Reply(<-replies)
		default:
			c.Reply("+OK\r\n")
		}
	})
	cfg := replicatedConfig(t, fake.Addr())
	if change != nil {
		change(&cfg.Pools[0])
	}
	p = serve(t, cfg)
	p.server.Pools()[0].SetView(0, pool.View{Primary: pool.Member{Addr: fake.Addr()}})
	return p, requests, replies
}

// nextRequest returns the next request that the server gets.
func nextRequest(t *testing.T, requests chan []string) []string {
	t.Helper()
	select {
	case args := <-requests:
		return args
	case <-time.After(time.Minute):
		t.Fatal("the server gets no further request")
		return nil
	}
}

const readonly = "-READONLY You can't write against a read only replica.\r\n"

// A request that is sent again after a change of primaries has been blocked for a part of its
// timeout already.
func TestBlockingRequestThatIsSentAgainWaitsForTheRestOfItsTime(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		request []string
		at      int
		unit    time.Duration
	}{
		{"seconds", []string{"BLPOP", "q", "20"}, 2, time.Second},
		{"parts of a second", []string{"BLMPOP", "20.5", "1", "q", "LEFT"}, 1, time.Second},
		{"milliseconds", []string{"XREAD", "BLOCK", "20000", "STREAMS", "s", "$"}, 2, time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			began := time.Now() // before the loops, whose clocks stand still during a turn
			p, requests, replies := serveBlocked(t, nil)
			c := p.dial()
			c.Send(encode(test.request...))
			nextRequest(t, requests)
			time.Sleep(20 * time.Millisecond) // more than the proxy rounds by
			replies <- readonly
			again := nextRequest(t, requests)
			waited := time.Since(began)
			replies <- "*-1\r\n"
			c.expect("*-1\r\n")
			asked, _ := strconv.ParseFloat(test.request[test.at], 64)
			left, err := strconv.ParseFloat(again[test.at], 64)
			if gone := time.Duration((asked - left) * float64(test.unit)); err != nil || gone <= 0 || gone > waited {
				t.Errorf("sent again as %q after %s: %s less", again, waited, gone)
			}
		})
	}
}

func TestBlockingRequestWithoutEndIsSentAgainAsItIs(t *testing.T) {
	t.Parallel()
	p, requests, replies := serveBlocked(t, nil)
	c := p.dial()
	c.Send(encode("BLPOP", "q", "0"))
	nextRequest(t, requests)
	replies <- readonly
	if again := nextRequest(t, requests); again[2] != "0" {
		t.Errorf("sent again as %q", again)
	}
	replies <- "*-1\r\n"
	c.expect("*-1\r\n")
}

// failover_wait begins when the request is refused, not when it was sent.
func TestBlockedRequestOutlivesFailoverWait(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, requests, replies := serveBlocked(t, func(p *conf.Pool) { p.FailoverWait = 3 * time.Second })
	c := p.dial()
	c.Send(encode("BLPOP", "q", "0"))
	nextRequest(t, requests)
	time.Sleep(3500 * time.Millisecond) // longer than failover_wait and acceptedAfter: nothing else shows that they have passed
	replies <- readonly
	nextRequest(t, requests)
	replies <- "*2\r\n$1\r\nq\r\n$1\r\nx\r\n"
	c.expect("*2\r\n$1\r\nq\r\n$1\r\nx\r\n")
}
