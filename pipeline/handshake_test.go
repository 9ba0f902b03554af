package pipeline_test

import (
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

func TestRequestsWaitForTheHandshake(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.Expect("AUTH", "pw"), fakeredis.Expect("SELECT", "3"),
		fakeredis.Reply("+OK\r\n"), fakeredis.Wait(release), fakeredis.Reply("+OK\r\n"),
		fakeredis.Expect("GET", "a"), fakeredis.Expect("GET", "b"), fakeredis.Reply("+1\r\n+2\r\n"),
	})
	cfg := config(s.Addr())
	cfg.Auth, cfg.DB = []string{"pw"}, 3
	r := newRig(t, cfg)
	r.send(get("a"))
	s.WaitRequests(2)
	r.send(get("b"))
	if n := len(s.Requests()); n != 2 {
		t.Errorf("%d requests went out before the handshake was over", n-2)
	}
	close(release)
	r.expect(1, "+1\r\n", "+2\r\n")
}

func TestRefusedHandshakeFailsBufferedRequests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, replies string }{
		{"AUTH", "-WRONGPASS invalid username-password pair\r\n+OK\r\n"},
		{"SELECT", "+OK\r\n-ERR DB index is out of range\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.ExpectAny(2), fakeredis.Reply(test.replies), fakeredis.Discard()})
			cfg := config(s.Addr())
			cfg.Auth, cfg.DB = []string{"pw"}, 3
			r := newRig(t, cfg)
			r.send(get("a"))
			r.expectFailure(1, pipeline.ErrHandshake, false)
			r.obs.failed(t, 2) // and tries again by itself
			for _, request := range s.Requests() {
				if request.Args[0] == "GET" {
					t.Errorf("%q was sent without a handshake", request.Args)
				}
			}
		})
	}
}

func TestSlowHandshakeIsGivenUp(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.Discard()})
	cfg := config(s.Addr())
	cfg.DB, cfg.ConnectTimeout = 1, 300*time.Millisecond
	r := newRig(t, cfg)
	r.send(get("a"))
	r.expectFailure(1, pipeline.ErrTimeout, false)
	r.obs.failed(t, 2)
}

func TestBufferedRequestsTimeOut(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.Discard()})
	cfg := config(s.Addr())
	cfg.DB, cfg.Timeout = 1, 20*time.Millisecond
	r := newRig(t, cfg)
	r.send(get("a"), get("b"))
	r.expectFailure(1, pipeline.ErrTimeout, false)
	r.expectFailure(2, pipeline.ErrTimeout, false)
}

// Requests that timed out while the handshake went on are not sent after it.
func TestTimedOutRequestsAreNotSentAfterTheHandshake(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.Expect("SELECT", "1"), fakeredis.Wait(release), fakeredis.Reply("+OK\r\n"),
		fakeredis.Expect("GET", "b"), fakeredis.Reply("+2\r\n"),
	})
	cfg := config(s.Addr())
	cfg.DB, cfg.Timeout = 1, time.Second
	r := newRig(t, cfg)
	r.send(get("a"))
	r.expectFailure(1, pipeline.ErrTimeout, false)
	r.send(get("b"))
	close(release)
	r.expect(2, "+2\r\n")
}

// A reply that is no reply to AUTH or SELECT must not be counted as several.
func TestLargeReplyInTheHandshakeOpensNothing(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartEach(t, fakeredis.Script{
		fakeredis.ExpectAny(2), fakeredis.Reply("$100000\r\n" + strings.Repeat("x", 40000)), fakeredis.Discard(),
	})
	cfg := config(s.Addr())
	cfg.Auth, cfg.DB = []string{"pw"}, 3
	r := newRig(t, cfg)
	r.send(get("a"))
	r.expectFailure(1, pipeline.ErrProtocol, false)
	for _, request := range s.Requests() {
		if request.Args[0] == "GET" {
			t.Errorf("%q was sent without a handshake", request.Args)
		}
	}
}
