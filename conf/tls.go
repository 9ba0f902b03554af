package conf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// TLS is a [pools.NAME.server_tls] or [pools.NAME.sentinel_tls] table: how the
// proxy speaks TLS to servers or Sentinels. Names of files are absolute, or relative
// to the process's directory: Parse has put the configuration file's directory before
// them.
type TLS struct {
	CA         string // file with the certificates that sign the servers'; "": the system's
	Cert, Key  string // files with the proxy's own certificate and its key, both or neither; "": none
	ServerName string // the name that certificates must be for; "": the host that is connected to
	Insecure   bool   // key insecure_skip_verify: accept any certificate
}

var tlsSettings = []setting[TLS]{
	{"ca", func(v *value, t *TLS) { v.file(&t.CA) }},
	{"cert", func(v *value, t *TLS) { v.file(&t.Cert) }},
	{"key", func(v *value, t *TLS) { v.file(&t.Key) }},
	{"server_name", func(v *value, t *TLS) {
		s, ok := v.text("redis.example.com")
		if !ok {
			return
		}
		name, err := parseHost(s)
		if err != nil {
			v.fail("%s", err)
			return
		}
		t.ServerName = name
	}},
	{"insecure_skip_verify", func(v *value, t *TLS) { v.boolean(&t.Insecure) }},
}

// setTLS reads a table. Its presence turns TLS on, even if it is empty.
func setTLS(v *value, into **TLS) {
	table, ok := v.v.(map[string]any)
	if !ok {
		v.fail(`want a table, such as { ca = "ca.pem" }; an empty one, {}, uses the system's certificates`)
		return
	}
	t := &TLS{}
	before := len(v.report.mistakes)
	read(tableSource{report: v.report, node: v.node, values: table, table: v.table, prefix: v.name + "."}, tlsSettings, t)
	if cert, key := v.node.table["cert"], v.node.table["key"]; cert != nil && key == nil && !v.partial {
		v.failAt(cert, "cert has no key; want key too, the file with the certificate's private key")
	} else if key != nil && cert == nil && !v.partial {
		v.failAt(key, "key has no cert; want cert too, the file with the key's certificate")
	}
	if len(v.report.mistakes) == before && !v.partial {
		v.checkFiles(t)
	}
	*into = t
}

// checkFiles reports files without the certificates or the key that they should hold,
// and warns of a key that every user may read.
func (v *value) checkFiles(t *TLS) {
	at := func(key string) *node { return v.node.table[key] }
	if _, err := t.roots(); err != nil {
		v.failAt(at("ca"), err.Error())
	}
	if _, err := t.certificate(); err != nil {
		v.failAt(at("cert"), err.Error())
	}
	v.warnReadable(at("key"), "key", t.Key)
}

// file stores the name of a file, joined to the directory of the configuration file.
func (v *value) file(into *string) {
	s, ok := v.text("ca.pem")
	switch {
	case !ok:
	case s == "" || hasControl(s):
		v.fail("want the name of a file, or remove this key")
	case filepath.IsAbs(s):
		*into = s
	default:
		*into = filepath.Join(filepath.Dir(v.report.file), s)
	}
}

// Config reads the files and returns the configuration for package crypto/tls. If t has
// no ServerName, the caller sets it to the host. The error names the file.
func (t *TLS) Config() (*tls.Config, error) {
	c := &tls.Config{
		ServerName: t.ServerName, InsecureSkipVerify: t.Insecure, MinVersion: tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(0), // each loop connects to the same servers
	}
	var err error
	if c.RootCAs, err = t.roots(); err != nil {
		return nil, err
	}
	if c.Certificates, err = t.certificate(); err != nil {
		return nil, err
	}
	return c, nil
}

// Loader returns a function that does what Config does, but reads the files again only
// after they have changed. If they are invalid then, as they may be while they are
// being replaced, it returns what it read last. Loaders of equal settings are the same
// function. Any goroutine may call it; callers must not change its result.
func (t *TLS) Loader() func() (*tls.Config, error) {
	settings := *t
	load, _ := loaders.LoadOrStore(settings, settings.newLoader())
	return load.(func() (*tls.Config, error))
}

// loaders holds the Loader of each TLS.
var loaders sync.Map

func (t *TLS) newLoader() func() (*tls.Config, error) {
	var (
		mu    sync.Mutex // guards what follows; held while files are read
		last  *tls.Config
		stamp string
	)
	return func() (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		now := t.stamp()
		if last != nil && now == stamp {
			return last, nil
		}
		c, err := t.Config()
		if err == nil {
			last, stamp = c, now
		}
		if last == nil {
			return nil, err
		}
		return last, nil
	}
}

// stamp returns the times and sizes of the files, which change when the files do.
func (t *TLS) stamp() string { return stampOf(t.CA, t.Cert, t.Key) }

func stampOf(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%d %d\n", info.ModTime().UnixNano(), info.Size())
		} else {
			b.WriteString("none\n")
		}
	}
	return b.String()
}

// roots returns the certificates of CA, nil for the system's.
func (t *TLS) roots() (*x509.CertPool, error) {
	if t.CA == "" {
		return nil, nil
	}
	text, err := readPEM(t.CA)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca: %s holds no certificate; want PEM, with lines -----BEGIN CERTIFICATE-----", t.CA)
	}
	return pool, nil
}

// certificate returns the proxy's own certificate, nil if it has none.
func (t *TLS) certificate() ([]tls.Certificate, error) {
	if t.Cert == "" {
		return nil, nil
	}
	cert, err := readPEM(t.Cert)
	if err != nil {
		return nil, fmt.Errorf("cert: %w", err)
	}
	key, err := readPEM(t.Key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cert %s and key %s: %w", t.Cert, t.Key, err)
	}
	return []tls.Certificate{pair}, nil
}

// readPEM reads a file of certificates or of a key. It refuses devices, pipes and large
// files.
func readPEM(name string) ([]byte, error) {
	const most = 8 << 20 // a system's bundle of all roots is a fortieth of that
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: want a file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = errors.New("more than " + sizeText(most))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}
