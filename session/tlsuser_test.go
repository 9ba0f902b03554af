package session_test

import (
	"crypto/tls"
	"testing"

	"ringway/conf"
	"ringway/internal/redistest"
)

// A client is the user that its certificate names. Without such a certificate it must know a password, whoever
// needs none.
func TestCertificatesNameUsers(t *testing.T) {
	t.Parallel()
	cfg := withUsers(t, []*redistest.Server{redistest.Start(t)}, "user default on nopass +@all ~* &*", "user alice on >a +@all ~app:*",
		"user bob off >b +@all ~*", "user free on nopass +@all ~*")
	a := takeTLS(t, cfg)
	files := cfg.Pools[0].ClientTLS
	files.CA, files.ClientAuth = a.File, conf.AuthOptional
	cfg.Pools[0].TLSUser = conf.UserDNS
	p := serve(t, cfg)
	as := func(names ...string) *raw {
		p.tls = &tls.Config{RootCAs: a.Pool(), ServerName: "127.0.0.1"}
		if names != nil {
			p.tls.Certificates = a.Config(names...).Certificates
		}
		return p.dial()
	}
	c := as("alice")
	want(t, c, "$5\r\nalice", "ACL", "WHOAMI")
	want(t, c, "+OK", "SET", "app:1", "1")
	want(t, c, notThisKey, "GET", "other")
	want(t, c, "+RESET", "RESET")
	want(t, c, "$5\r\nalice", "ACL", "WHOAMI")
	p.moveAll(0)
	want(t, c, "$5\r\nalice", "ACL", "WHOAMI")

	for name, c := range map[string]*raw{"no certificate": as(), "nobody's": as("mallory"), "of a user that is off": as("bob"), "two names": as("alice", "free")} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				want(t, c, "-NOAUTH Authentication required.", "GET", "app:1")
				want(t, c, "-NOAUTH Authentication required.", "ACL", "WHOAMI")
				want(t, c, "+RESET", "RESET")
			}
			want(t, c, wrongPassword, "AUTH", "free", "x")
			want(t, c, wrongPassword, "AUTH", "default", "x")
			want(t, c, "+OK", "AUTH", "alice", "a")
			want(t, c, "$1\r\n1", "GET", "app:1")
		})
	}
}
