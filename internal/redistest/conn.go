package redistest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// NewClient returns a go-redis client (RESP2) of the server or proxy at addr. It is
// closed when the test ends. The password may be "". The client sends only what the
// test asks for: no CLIENT SETINFO, and no retries, which would hide errors.
func NewClient(t testing.TB, addr, password string) *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr:                     addr,
		Password:                 password,
		Protocol:                 2,
		MaxRetries:               -1,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// Conn is one connection on which a test speaks the protocol by hand. It belongs to one
// goroutine. A read or write fails after 30 seconds.
type Conn struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// Dial connects to network ("tcp" or "unix") and addr, and fails the test if
// the connection is refused. It is closed when the test ends.
func Dial(t testing.TB, network, addr string) *Conn {
	t.Helper()
	c, err := dial(network, addr, startTimeout)
	if err != nil {
		t.Fatalf("connection to %s: %v", addr, err)
	}
	c.t = t
	t.Cleanup(func() { c.conn.Close() })
	return c
}

// DialTLS is Dial for a peer at a TCP address that speaks TLS.
func DialTLS(t testing.TB, addr string, config *tls.Config) *Conn {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: startTimeout}, "tcp", addr, config)
	if err != nil {
		t.Fatalf("connection to %s: %v", addr, err)
	}
	conn.SetDeadline(time.Now().Add(startTimeout))
	t.Cleanup(func() { conn.Close() })
	return &Conn{t: t, conn: conn, r: bufio.NewReader(conn)}
}

func dial(network, addr string, timeout time.Duration) (*Conn, error) {
	conn, err := net.DialTimeout(network, addr, timeout)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(timeout))
	return &Conn{conn: conn, r: bufio.NewReader(conn)}, nil
}

// NetConn returns the connection under c, for example to half-close it. Do not read
// from it: c may have read ahead.
func (c *Conn) NetConn() net.Conn { return c.conn }

// Do sends one request and returns its reply as it came over the wire. It fails the
// test if no complete reply comes.
func (c *Conn) Do(args ...string) string {
	c.t.Helper()
	c.Send(Request(args...))
	return c.Reply()
}

// Send writes the bytes as they are.
func (c *Conn) Send(raw string) {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(startTimeout))
	if _, err := io.WriteString(c.conn, raw); err != nil {
		c.t.Fatalf("write to %s: %v", c.conn.RemoteAddr(), err)
	}
}

// Reply reads one complete reply, RESP2 or RESP3, and returns its bytes.
func (c *Conn) Reply() string {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(startTimeout))
	reply, err := readReply(c.r)
	if err != nil {
		c.t.Fatalf("reply from %s: %v after %.300q", c.conn.RemoteAddr(), err, reply)
	}
	return reply
}

// WaitClosed reads until the other side closes or resets the connection, and
// returns the bytes that came before.
func (c *Conn) WaitClosed() string {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(startTimeout))
	b, err := io.ReadAll(c.r)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		c.t.Fatalf("%s did not close the connection; it sent %.300q", c.conn.RemoteAddr(), b)
	}
	return string(b)
}

// Close closes the connection.
func (c *Conn) Close() { c.conn.Close() }

func (c *Conn) exchange(args ...string) (string, error) {
	if _, err := io.WriteString(c.conn, Request(args...)); err != nil {
		return "", err
	}
	return readReply(c.r)
}

// Request encodes the arguments as Redis clients do: an array of bulk strings.
func Request(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// readReply returns the bytes of one reply, or those that came before err. The size of
// a reply has no bound: the sender is trusted.
func readReply(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for left := 1; left > 0; left-- {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String(), err
		}
		if len(line) < 3 || !strings.HasSuffix(line, "\r\n") {
			return b.String(), fmt.Errorf("line %q is no start of a reply", line)
		}
		if strings.IndexByte("+-:_,#(", line[0]) >= 0 {
			continue
		}
		n, err := strconv.Atoi(line[1 : len(line)-2])
		if err != nil {
			return b.String(), fmt.Errorf("count in %q: %w", line, err)
		}
		switch line[0] {
		case '$', '!', '=':
			if n >= 0 {
				_, err = io.CopyN(&b, r, int64(n)+2)
			}
		case '*', '~', '>':
			left += max(n, 0)
		case '%':
			left += 2 * max(n, 0)
		case '|': // attributes precede their reply
			left += 2*max(n, 0) + 1
		default:
			err = fmt.Errorf("line %q is no start of a reply", line)
		}
		if err != nil {
			return b.String(), err
		}
	}
	return b.String(), nil
}
