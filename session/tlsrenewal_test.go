package session_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"testing"

	"ringway/conf"
	"ringway/internal/redistest"
)

// Certificates are renewed while clients connect, and none of them sees an error; files that can't be used
// change nothing.
func TestCertificatesAreRenewedUnderLoad(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	var files *conf.ClientTLS
	log := &lockedBuffer{}
	cfg := config(t, redistest.Start(t).Addr())
	a := takeTLS(t, cfg)
	files = cfg.Pools[0].ClientTLS
	p := serveLog(t, cfg, log)
	p.tls = &tls.Config{RootCAs: a.Pool(), ServerName: "127.0.0.1"}
	serial := func() string {
		c := p.dial()
		defer c.Close()
		if got := c.Do("PING"); got != "+PONG\r\n" {
			t.Errorf("PING: %q", got)
		}
		return fmt.Sprint(c.NetConn().(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber)
	}
	stays := p.dial()
	first := serial()
	put := func(cert, key string) {
		for name, from := range map[string]string{files.Cert: cert, files.Key: key} {
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cert, key := a.Issue("127.0.0.1")
	put(cert, files.Key) // one of two
	eventually(t, "the log says that the files can't be used", func() bool {
		if got := serial(); got != first {
			t.Errorf("certificate %s without its key", got)
		}
		return log.count("certificate not replaced") > 0
	})
	put(cert, key)
	eventually(t, "the new certificate", func() bool { return serial() != first })
	for range 3 {
		put(a.Issue("127.0.0.1"))
		before := serial()
		eventually(t, "a newer certificate", func() bool { return serial() != before })
	}
	if got := stays.Do("PING"); got != "+PONG\r\n" {
		t.Errorf("PING of a client that was there before: %q", got)
	}
	if n := log.count("certificate not replaced"); n > 4 {
		t.Errorf("%d lines", n)
	}
}
