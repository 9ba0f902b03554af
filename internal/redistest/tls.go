package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Authority signs certificates for one test.
type Authority struct {
	File string // its own certificate in PEM, for clients and servers that shall trust it

	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

// NewAuthority makes a new authority. Its files are removed at the end of the test.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	a.File = filepath.Join(a.dir, "ca.pem")
	var der []byte
	der, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority of a test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.cert, _ = x509.ParseCertificate(der)
	a.write(a.File, "CERTIFICATE", der)
	return a
}

// Issue writes a new certificate for hosts, which are names or IP addresses, and its
// key, and returns the names of the two files.
func (a *Authority) Issue(hosts ...string) (cert, key string) {
	a.t.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "member of a test"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, private := a.sign(template)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	stem := filepath.Join(a.dir, strconv.FormatInt(a.last, 10))
	cert, key = stem+".pem", stem+".key"
	a.write(cert, "CERTIFICATE", der)
	a.write(key, "PRIVATE KEY", pkcs8)
	return cert, key
}

// Config returns a server's configuration with a new certificate for hosts.
func (a *Authority) Config(hosts ...string) *tls.Config {
	a.t.Helper()
	pair, err := tls.LoadX509KeyPair(a.Issue(hosts...))
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

// Pool returns a pool with this authority's certificate alone.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// sign completes a certificate with a new key and signs it. The first certificate is
// signed by itself.
func (a *Authority) sign(c *x509.Certificate) (der []byte, key *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.last++
	c.SerialNumber = big.NewInt(a.last)
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	if der, err = x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer); err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

func (a *Authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// TLS makes the server listen for TLS too, on a second port (Server.TLSAddr), with a
// certificate of a for hosts. With clients it refuses clients without a certificate of
// a.
func TLS(a *Authority, clients bool, hosts ...string) Option {
	return func(s *settings) {
		cert, key := a.Issue(hosts...)
		s.tls = true
		auth := "no"
		if clients {
			auth = "yes"
		}
		s.args = append(s.args, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", a.File, "--tls-auth-clients", auth)
	}
}

// TLSThroughout is TLS for servers and their Sentinels that also speak TLS among each
// other, and therefore announce their TLS ports.
func TLSThroughout(a *Authority) Option {
	return func(s *settings) {
		TLS(a, false, "127.0.0.1")(s)
		s.throughout = a
		s.args = append(s.args, "--tls-replication", "yes", "--tls-cluster", "yes")
	}
}

// peerPort returns the port at which other servers reach this one.
func (s *Server) peerPort() int {
	if s.throughout != nil {
		return s.tlsPort
	}
	return s.port
}

// sentinelTLS returns the lines of a Sentinel's configuration for TLS on a port of
// its own beside the plain one, and among the servers.
func (s *Server) sentinelTLS(a *Authority) string {
	cert, key := a.Issue("127.0.0.1")
	s.tlsPort = FreePort(a.t)
	return fmt.Sprintf("tls-port %d\ntls-replication yes\ntls-auth-clients no\ntls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\n",
		s.tlsPort, cert, key, a.File)
}

// TLSAddr returns where the server listens for TLS, as "127.0.0.1:port"; it is ""
// without TLS.
func (s *Server) TLSAddr() string {
	if s.tlsPort == 0 {
		return ""
	}
	return loopback(s.tlsPort)
}
