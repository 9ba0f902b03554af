package redistest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A Conn is a plain connection to anything that speaks the Redis protocol, for
// tests that look at bytes. It belongs to the test's goroutine.
type Conn struct {
	net.Conn
	t       testing.TB
	timeout time.Duration
	r       *bufio.Reader
}

// Dial connects to addr, a host:port or the path of a unix socket. The
// connection is closed when the test ends.
func Dial(t testing.TB, addr string) *Conn {
	t.Helper()
	c, err := dial(addr, startTimeout)
	if err != nil {
		t.Fatal(err)
	}
	c.t = t
	t.Cleanup(func() { c.Close() })
	return c
}

func dial(addr string, timeout time.Duration) (*Conn, error) {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	nc, err := net.DialTimeout(network, addr, timeout)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: nc, timeout: timeout, r: bufio.NewReader(nc)}, nil
}

// Do sends one command and returns its reply as it came, such as
// "$3\r\nbar\r\n". The test fails if there is none within a minute.
func (c *Conn) Do(args ...string) string {
	c.t.Helper()
	reply, err := c.ask(args...)
	if err != nil {
		c.t.Fatalf("%.200q: %v", args, err)
	}
	return reply
}

// Send writes bytes as they are. The test fails if that takes over a minute.
func (c *Conn) Send(raw string) {
	c.t.Helper()
	if err := c.send(raw); err != nil {
		c.t.Fatalf("send %.200q: %v", raw, err)
	}
}

// Receive returns the next reply as it came. The test fails if there is none
// within a minute, or if the connection is closed.
func (c *Conn) Receive() string {
	c.t.Helper()
	reply, err := c.receive()
	if err != nil {
		c.t.Fatalf("receive: %v", err)
	}
	return reply
}

// ReceiveEnd waits until the peer closes the connection and returns what came
// before that.
func (c *Conn) ReceiveEnd() string {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(c.timeout))
	rest, err := io.ReadAll(c.r)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		c.t.Fatalf("the connection is still open after %v; it sent %.200q", c.timeout, rest)
	}
	return string(rest)
}

func (c *Conn) ask(args ...string) (string, error) {
	if err := c.send(Command(args...)); err != nil {
		return "", err
	}
	return c.receive()
}

func (c *Conn) send(raw string) error {
	c.SetWriteDeadline(time.Now().Add(c.timeout))
	_, err := io.WriteString(c, raw)
	return err
}

func (c *Conn) receive() (string, error) {
	c.SetReadDeadline(time.Now().Add(c.timeout))
	var raw bytes.Buffer
	err := readReply(c.r, &raw, 64)
	return raw.String(), err
}

// Command returns a request as clients send it: an array of bulk strings.
func Command(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// readReply copies one reply, RESP2 or RESP3, from r to raw. Arrays may nest
// as deep as depth. It takes what it reads on trust but for the lengths, which
// reserve nothing.
func readReply(r *bufio.Reader, raw *bytes.Buffer, depth int) error {
	line, err := r.ReadString('\n')
	raw.WriteString(line)
	if err != nil {
		return err
	}
	if len(line) < 3 || !strings.HasSuffix(line, "\r\n") {
		return fmt.Errorf("reply begins with %.80q", line)
	}
	kind, rest := line[0], line[1:len(line)-2]
	switch {
	case strings.IndexByte("+-:_,#(", kind) >= 0:
		return nil
	case strings.IndexByte("$=!*~>%|", kind) < 0:
		return fmt.Errorf("reply begins with %.80q", line)
	}
	n, err := strconv.ParseInt(rest, 10, 32)
	switch {
	case err != nil || n < -1:
		return fmt.Errorf("reply has the length %.80q", line)
	case n == -1:
		return nil
	case strings.IndexByte("$=!", kind) >= 0:
		_, err := io.CopyN(raw, r, n+2)
		return err
	case depth == 0:
		return errors.New("reply is nested too deep")
	}
	if kind == '%' || kind == '|' {
		n *= 2
	}
	if kind == '|' {
		n++ // attributes precede the reply they describe
	}
	for range n {
		if err := readReply(r, raw, depth-1); err != nil {
			return err
		}
	}
	return nil
}
