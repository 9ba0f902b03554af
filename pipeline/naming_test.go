package pipeline_test

import (
	"io"
	"testing"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
	"ringway/resp"
)

// The name goes out behind the handshake and before the first request, which does not wait for
// the answer.
func TestConnectionsGiveThemselvesAName(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	name := fakeredis.Expect("CLIENT", "SETNAME", "r/i/0")
	for what, test := range map[string]struct {
		set    func(cfg *pipeline.Config)
		script fakeredis.Script
	}{
		"no handshake": {func(*pipeline.Config) {}, fakeredis.Script{
			name, fakeredis.Expect("GET", "a"), fakeredis.Split("+OK\r\n+1\r\n"), fakeredis.Wait(release)}},
		"a handshake": {func(cfg *pipeline.Config) { cfg.Auth, cfg.DB = []string{"pw"}, 3 }, fakeredis.Script{
			fakeredis.Expect("AUTH", "pw"), fakeredis.Expect("SELECT", "3"), name, fakeredis.Reply("+OK\r\n+OK\r\n"),
			fakeredis.Expect("GET", "a"), fakeredis.Reply("+OK\r\n+1\r\n"), fakeredis.Wait(release)}},
		"all at once": {func(cfg *pipeline.Config) { cfg.Auth = []string{"pw"} }, fakeredis.Script{
			fakeredis.Expect("AUTH", "pw"), name, fakeredis.Reply("+OK\r\n+OK\r\n"),
			fakeredis.Expect("GET", "a"), fakeredis.Reply("+1\r\n"), fakeredis.Wait(release)}},
		"RESP3": {func(cfg *pipeline.Config) { cfg.Protocol = resp.RESP3 }, fakeredis.Script{
			fakeredis.Expect("HELLO", "3"), name, fakeredis.Reply("%0\r\n+OK\r\n"),
			fakeredis.Expect("GET", "a"), fakeredis.Reply("+1\r\n"), fakeredis.Wait(release)}},
	} {
		s := fakeredis.Start(t, test.script)
		cfg := config(s.Addr())
		cfg.ClientName = "r/i/0"
		test.set(cfg)
		r := newRig(t, cfg)
		r.send(get("a"))
		if o := r.next(); o.reply != "+1\r\n" {
			t.Errorf("%s: %q, %v", what, o.reply, o.failure)
		}
	}
	close(release)
}

// A refused name fails nothing, and is not tried again by other connections of the user.
func TestRefusedNamesAreRemembered(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	for reply, again := range map[string]bool{
		"-NOPERM this user has no permissions to run the 'client|setname' command\r\n": false,
		"-ERR unknown command `CLIENT`, with args beginning with: \r\n":                false,
		"-BUSY Redis is busy running a script\r\n":                                     true,
		"+OK\r\n": true,
	} {
		second := fakeredis.Script{fakeredis.Expect("GET", "b"), fakeredis.Reply("+2\r\n"), fakeredis.Wait(release)}
		if again {
			second = append(fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reply("+OK\r\n")}, second...)
		}
		s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(2), fakeredis.Reply(reply + "+1\r\n"), fakeredis.Wait(release)}, second)
		cfg := config(s.Addr())
		cfg.ClientName, cfg.MarkerSupport = "r/i/0", new(pipeline.MarkerSupport)
		r := newRig(t, cfg)
		r.send(get("a"))
		r.expect(1, "+1\r\n")
		other := newRig(t, cfg)
		other.send(get("b"))
		other.expect(1, "+2\r\n")
	}
}

// Some programs that stand before servers hang up on commands which they do not know.
func TestHangingUpOnANameIsARefusal(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	hangsUp := fakeredis.Script{fakeredis.ExpectAny(2), func(c *fakeredis.Conn) error { c.Close(); return nil }}
	s := fakeredis.Start(t, hangsUp, hangsUp,
		fakeredis.Script{fakeredis.Expect("GET", "a"), fakeredis.Reply("+3\r\n"), fakeredis.Wait(release)})
	cfg := config(s.Addr())
	cfg.ClientName = "r/i/0"
	r := newRig(t, cfg)
	for tag := range uint32(2) {
		r.send(get("a"))
		r.expectFailure(tag+1, io.EOF, true)
	}
	r.send(get("a"))
	r.expect(3, "+3\r\n")
}

// A connection that follows a lost one is named too.
func TestConnectionAfterALostOneIsNamed(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.Reset()},
		fakeredis.Script{fakeredis.Expect("CLIENT", "SETNAME", "r/i/0"), fakeredis.Reply("+OK\r\n"), fakeredis.Discard()})
	cfg := config(s.Addr())
	cfg.ClientName = "r/i/0"
	r := newRig(t, cfg)
	r.on(r.conn.Connect)
	r.eventually("a second connection that is named", func() bool { r.conn.Connect(); return len(s.Requests()) > 0 })
}
