package session_test

import (
	"regexp"
	"testing"
	"time"

	"ringway/internal/fakeredis"
)

// Errors name the server, say what is wrong with it and since when, and whether the request was
// sent.
func TestErrorsNameTheServerAndItsFailure(t *testing.T) {
	t.Parallel()
	hangs := fakeredis.StartHandler(t, func(*fakeredis.Conn, []string) {})
	cfg := config(t, hangs.Addr())
	cfg.Pools[0].Timeout, cfg.Pools[0].ServerFailureLimit, cfg.Pools[0].ServerRetryTimeout = 50*time.Millisecond, 1, time.Hour
	cfg.Pools[0].AutoEjectHosts = false
	c := serve(t, cfg).dial()
	f := func(want string) {
		t.Helper()
		if got := c.Do("GET", "k"); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%q, want %s", got, want)
		}
	}
	f(`^-ERR Connection timed out \(server s1, no reply within the timeout\): the request was sent and its outcome is unknown\r\n$`)
	f(`^-ERR Connection timed out: server s1 is down \(no reply within the timeout, for \d+\.\d s\): the request was not sent\r\n$`)
}
