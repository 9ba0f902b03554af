package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// tlsPrefix begins the name of a target that is another's port for TLS.
const tlsPrefix = "tls-"

// tlsClient is the client's side of a TLS connection whose socket the generator reads and writes. Once
// hands are shaken crypto/tls has no socket: it is given what was read, and told by a temporary error when there is no more; what
// it writes is collected.
type tlsClient struct {
	conn   *tls.Conn
	socket net.Conn // while hands are shaken; then nil
	in     []byte   // what was read and crypto/tls has not taken
	out    []byte   // what is to be written
}

// dialTLS connects to addr and shakes hands. The socket is non-blocking and the caller's.
func dialTLS(addr string) (fd int, c *tlsClient, err error) {
	network, address := splitAddr(addr)
	conn, err := net.DialTimeout(network, address, dialTimeout)
	if err != nil {
		return -1, nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(dialTimeout))
	c = &tlsClient{socket: conn}
	c.conn = tls.Client(c, tlsConfig())
	if err := c.conn.Handshake(); err != nil {
		return -1, nil, fmt.Errorf("TLS handshake with %s: %w", addr, err)
	}
	c.socket = nil
	fd, err = duplicate(addr, conn)
	return fd, c, err
}

// tlsConfig returns how the harness speaks TLS: the certificates are its own, made for one run.
func tlsConfig() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true}
}

// feed decrypts b into plain, part by part, and has each checked.
func (c *tlsClient) feed(b, plain []byte, check *checker, done func(*call)) error {
	c.in = b
	for {
		n, err := c.conn.Read(plain)
		if n > 0 {
			if err := check.feed(plain[:n], done); err != nil {
				return err
			}
		}
		if err == error(errNoBytes) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// write encrypts b and writes what waits to the socket, as much as it takes.
func (c *tlsClient) write(fd int, b []byte) error {
	if len(b) > 0 {
		if _, err := c.conn.Write(b); err != nil {
			return err
		}
	}
	if len(c.out) == 0 {
		return nil
	}
	n, err := writeSocket(fd, c.out)
	c.out = c.out[:copy(c.out, c.out[max(n, 0):])]
	return err
}

// errNoBytes is what crypto/tls does not hold on to, since it is temporary.
var errNoBytes = &noBytesError{}

type noBytesError struct{}

func (*noBytesError) Error() string   { return "no more bytes were read" }
func (*noBytesError) Timeout() bool   { return false }
func (*noBytesError) Temporary() bool { return true }

// Read implements net.Conn for crypto/tls.
func (c *tlsClient) Read(p []byte) (int, error) {
	if c.socket != nil {
		return c.socket.Read(p)
	}
	if len(c.in) == 0 {
		return 0, errNoBytes
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

// Write implements net.Conn for crypto/tls.
func (c *tlsClient) Write(p []byte) (int, error) {
	if c.socket != nil {
		return c.socket.Write(p)
	}
	c.out = append(c.out, p...)
	return len(p), nil
}

// The rest of net.Conn, which is not used.

func (c *tlsClient) Close() error                     { return nil }
func (c *tlsClient) LocalAddr() net.Addr              { return nil }
func (c *tlsClient) RemoteAddr() net.Addr             { return nil }
func (c *tlsClient) SetDeadline(time.Time) error      { return nil }
func (c *tlsClient) SetReadDeadline(time.Time) error  { return nil }
func (c *tlsClient) SetWriteDeadline(time.Time) error { return nil }

// certificate holds the files of a certificate in PEM, which every target with TLS has.
type certificate struct{ cert, key, both string }

// makeCertificate writes a certificate (P-256) that signs itself to a directory.
func makeCertificate(dir string) (c certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	text := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, text, text, &key.PublicKey, key)
	if err != nil {
		return c, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return c, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	c = certificate{filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "tls.both")}
	for name, b := range map[string][]byte{c.cert: certPEM, c.key: keyPEM, c.both: append(certPEM[:len(certPEM):len(certPEM)], keyPEM...)} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			return c, err
		}
	}
	return c, nil
}
