package conf

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// ClientTLS is a [pools.NAME.tls] table: how the proxy speaks TLS with clients. Names of files are as
// those of TLS.
type ClientTLS struct {
	Cert, Key         string   // files with the proxy's certificate, with those that lead to its root, and with its key
	CA                string   // file with the certificates that sign the clients'; "" without ClientAuth
	ClientAuth        string   // AuthNone (default), AuthOptional or AuthRequire: whether clients have certificates
	MinVersion        string   // "1.2" (default) or "1.3"
	MaxVersion        string   // "1.2" or "1.3" (default)
	Ciphers           []string // suites of TLS 1.2, by name; default: those of crypto/tls without CBC. TLS 1.3 has no choice
	Curves            []string // for the key exchange; default: those of crypto/tls
	SessionTicketKeys string   // file with keys of session tickets, for several proxies; default "": keys of this process
}

// Values of ClientTLS.ClientAuth.
const (
	AuthNone     = "none"     // clients are not asked for certificates
	AuthOptional = "optional" // a client may have one, which must be valid
	AuthRequire  = "require"  // a client without a valid certificate is refused
)

// Values of Pool.TLSUser: what of a client's certificate is the name of its user.
const (
	UserOff = "off" // nothing (default)
	UserCN  = "CN"  // the subject's common name
	UserURI = "URI" // the only URI among the alternative names
	UserDNS = "DNS" // the only DNS name among them
)

// CertificatesNameUsers reports whether a client's certificate says which user it is (TLSUser). A client that has none must
// log in with a password then.
func (p *Pool) CertificatesNameUsers() bool { return p.TLSUser != "" && p.TLSUser != UserOff }

var (
	clientAuths = []string{AuthNone, AuthOptional, AuthRequire}
	tlsVersions = []string{"1.2", "1.3"}
	tlsUsers    = []string{UserOff, UserCN, UserURI, UserDNS}
)

var clientTLSSettings = []setting[ClientTLS]{
	{"cert", func(v *value, t *ClientTLS) { v.file(&t.Cert) }},
	{"key", func(v *value, t *ClientTLS) { v.file(&t.Key) }},
	{"ca", func(v *value, t *ClientTLS) { v.file(&t.CA) }},
	{"client_auth", func(v *value, t *ClientTLS) { v.word(&t.ClientAuth, clientAuths) }},
	{"min_version", func(v *value, t *ClientTLS) { v.word(&t.MinVersion, tlsVersions) }},
	{"max_version", func(v *value, t *ClientTLS) { v.word(&t.MaxVersion, tlsVersions) }},
	{"ciphers", func(v *value, t *ClientTLS) { v.names(&t.Ciphers, cipherNames()) }},
	{"curves", func(v *value, t *ClientTLS) { v.names(&t.Curves, curveNames()) }},
	{"session_ticket_keys", func(v *value, t *ClientTLS) { v.file(&t.SessionTicketKeys) }},
}

// names reads a list of known names.
func (v *value) names(into *[]string, known []string) {
	*into = nil
	v.list(known[0], func(_ *node, s string) error {
		if !slices.Contains(known, s) {
			return errors.New(unknown(s, known))
		}
		if slices.Contains(*into, s) {
			return errors.New("is listed twice")
		}
		*into = append(*into, s)
		return nil
	})
}

// cipherNames returns the suites of TLS 1.2 that may be chosen: those that are secure.
func cipherNames() (names []string) {
	for _, c := range tls.CipherSuites() {
		if slices.Contains(c.SupportedVersions, tls.VersionTLS12) {
			names = append(names, c.Name)
		}
	}
	return names
}

var curves = []struct {
	name string
	id   tls.CurveID
}{
	{"X25519MLKEM768", tls.X25519MLKEM768}, {"X25519", tls.X25519}, {"P-256", tls.CurveP256}, {"P-384", tls.CurveP384}, {"P-521", tls.CurveP521},
}

func curveNames() (names []string) {
	for _, c := range curves {
		names = append(names, c.name)
	}
	return names
}

// setClientTLS reads a [pools.NAME.tls] table.
func setClientTLS(v *value, into **ClientTLS) {
	table, ok := v.v.(map[string]any)
	if !ok {
		v.fail(`want a table, such as { cert = "ringway.pem", key = "ringway.key" }; TLS to the servers is server_tls`)
		return
	}
	t := &ClientTLS{ClientAuth: AuthNone, MinVersion: "1.2", MaxVersion: "1.3"}
	before := len(v.report.mistakes)
	read(tableSource{report: v.report, node: v.node, values: table, table: v.table, prefix: v.name + "."}, clientTLSSettings, t)
	*into = t
	if v.partial || len(v.report.mistakes) > before {
		return
	}
	at := func(key string) *node { return cmp.Or(v.node.table[key], v.node) }
	switch {
	case t.Cert == "" || t.Key == "":
		v.failAt(v.node, "want cert and key, the files with the proxy's certificate and with its private key")
	case t.ClientAuth != AuthNone && t.CA == "":
		v.failAt(at("client_auth"), fmt.Sprintf("%q: whose certificates are valid? want ca too, the file with the certificates that sign the clients'", t.ClientAuth))
	case t.ClientAuth == AuthNone && t.CA != "":
		v.failAt(at("ca"), `ca without client_auth: clients are not asked for certificates; want client_auth = "require", or "optional", or remove ca`)
	case t.MinVersion > t.MaxVersion:
		v.failAt(at("min_version"), fmt.Sprintf("%q is above max_version %q", t.MinVersion, t.MaxVersion))
	default:
		if _, err := t.Load(); err != nil {
			v.failAt(at(fileKeyOf(err)), err.Error())
		}
		v.warnReadable(at("key"), "key", t.Key)
		v.warnReadable(at("session_ticket_keys"), "session_ticket_keys", t.SessionTicketKeys)
	}
}

// fileKeyOf returns the key of the file that an error of Load is about.
func fileKeyOf(err error) string {
	key, _, _ := strings.Cut(strings.TrimSuffix(err.Error(), ":"), " ")
	return strings.TrimSuffix(key, ":")
}

// warnReadable warns of a secret that every user may read.
func (v *value) warnReadable(at *node, key, name string) {
	if f, err := os.Open(name); err == nil {
		if mode := worldReadable(f); mode != "" {
			v.report.warn(at.start, v.table, fmt.Sprintf("%s.%s: everybody on this machine may read %s (mode %s); want chmod 640, or 600", v.name, key, name, mode))
		}
		f.Close()
	}
}

// Load reads the files and returns the configuration for package crypto/tls. The error begins with
// the key of the file that is wrong. The caller must not change the result once it is in use.
func (t *ClientTLS) Load() (*tls.Config, error) {
	files := TLS{CA: t.CA, Cert: t.Cert, Key: t.Key}
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13,
		// Short records at first, as crypto/tls has them for browsers, would only cost time.
		DynamicRecordSizingDisabled: true,
	}
	if t.MinVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	if t.MaxVersion == "1.2" {
		c.MaxVersion = tls.VersionTLS12
	}
	switch t.ClientAuth {
	case AuthOptional:
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case AuthRequire:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	var err error
	if c.ClientCAs, err = files.roots(); err != nil {
		return nil, err
	}
	if c.Certificates, err = files.certificate(); err != nil {
		return nil, err
	}
	for _, s := range tls.CipherSuites() {
		if slices.Contains(t.Ciphers, s.Name) || t.Ciphers == nil && !strings.Contains(s.Name, "_CBC_") {
			c.CipherSuites = append(c.CipherSuites, s.ID)
		}
	}
	for _, name := range t.Curves {
		for _, curve := range curves {
			if curve.name == name {
				c.CurvePreferences = append(c.CurvePreferences, curve.id)
			}
		}
	}
	if t.SessionTicketKeys != "" {
		keys, err := readTicketKeys(t.SessionTicketKeys)
		if err != nil {
			return nil, fmt.Errorf("session_ticket_keys: %w", err)
		}
		c.SetSessionTicketKeys(keys)
	}
	return c, nil
}

// Stamp returns a text that changes when the files do: their times and sizes.
func (t *ClientTLS) Stamp() string { return stampOf(t.CA, t.Cert, t.Key, t.SessionTicketKeys) }

// readTicketKeys reads lines of 32 bytes in base64. New tickets have the first key; those of all are
// accepted.
func readTicketKeys(name string) (keys [][32]byte, err error) {
	const most = 16
	text, err := readPEM(name)
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(b) != 32 || len(keys) == most {
			return nil, fmt.Errorf("%s: want up to %d lines of 32 bytes in base64, the newest first, each from: openssl rand -base64 32", name, most)
		}
		keys = append(keys, [32]byte(b))
	}
	if keys == nil {
		return nil, fmt.Errorf("%s holds no key; want lines of 32 bytes in base64, the newest first, each from: openssl rand -base64 32", name)
	}
	return keys, nil
}

// text returns the table, "none" for nil.
func (t *ClientTLS) text() string {
	if t == nil {
		return noneText
	}
	var entries []string
	for _, e := range [][2]string{
		{"cert", t.Cert}, {"key", t.Key}, {"ca", t.CA}, {"client_auth", t.ClientAuth}, {"min_version", t.MinVersion}, {"max_version", t.MaxVersion},
		{"session_ticket_keys", t.SessionTicketKeys},
	} {
		if e[1] != "" {
			entries = append(entries, e[0]+" = "+quote(e[1]))
		}
	}
	if t.Ciphers != nil {
		entries = append(entries, "ciphers = "+listText(t.Ciphers, quote))
	}
	if t.Curves != nil {
		entries = append(entries, "curves = "+listText(t.Curves, quote))
	}
	return tableText(entries, func(s string) string { return s })
}
