package fakeredis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Conn is the server's end of one connection. Reads belong to the goroutine
// that plays the script; the other methods may be called from any goroutine.
type Conn struct {
	server *Server
	n      int
	tcp    *net.TCPConn
	r      *bufio.Reader
	closed atomic.Bool // by this end, on purpose
}

func newConn(s *Server, n int, tcp *net.TCPConn) *Conn {
	return &Conn{server: s, n: n, tcp: tcp, r: bufio.NewReader(tcp)}
}

// Number returns the connection's number at its server; the first one is 0.
func (c *Conn) Number() int { return c.n }

// Reply writes the bytes as they are, in one write. It ignores errors: the client may
// have closed the connection.
func (c *Conn) Reply(raw string) { io.WriteString(c.tcp, raw) }

// Close closes the connection with a FIN.
func (c *Conn) Close() {
	c.closed.Store(true)
	c.tcp.Close()
}

// Reset closes the connection with an RST, as the system does when a process is killed
// with unread data. The client may lose bytes that it has not read yet.
func (c *Conn) Reset() {
	c.closed.Store(true)
	c.tcp.SetLinger(0)
	c.tcp.Close()
}

// request reads and records one request. It answers the one by which a pool's connection gives itself a name.
func (c *Conn) request() ([]string, error) {
	args, err := readRequest(c.r)
	for err == nil && len(args) == 3 && args[1] == "SETNAME" && strings.HasPrefix(args[2], "ringway/") {
		c.Reply("+OK\r\n")
		args, err = readRequest(c.r)
	}
	if err != nil {
		return nil, err
	}
	c.server.record(c.n, args)
	return args, nil
}

// play runs the script, and returns when the connection has ended. If the test ends
// first, that is not a failure.
func (c *Conn) play(script Script) {
	defer c.tcp.Close()
	for i, step := range script {
		if err := step(c); err != nil {
			if !c.server.ending() {
				c.server.t.Errorf("fake server %s: connection %d, step %d: %v", c.server.Addr(), c.n, i, err)
			}
			return
		}
	}
	c.server.recordPlayed()
	if c.closed.Load() {
		return
	}
	switch args, err := c.request(); {
	case err == nil:
		c.server.t.Errorf("fake server %s: connection %d: %q came after the script's end", c.server.Addr(), c.n, args)
	case !c.isOver(err):
		c.server.t.Errorf("fake server %s: connection %d: after the script's end: %v", c.server.Addr(), c.n, err)
	}
}

// isOver reports whether err means that either end has closed the connection.
func (c *Conn) isOver(err error) bool {
	return err == io.EOF || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || c.closed.Load() || c.server.ending()
}

func (s *Server) ending() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Bounds on a request. A larger one is a mistake of the test.
const (
	maxArgs = 1 << 20
	maxBulk = 512 << 20
)

// readRequest reads an array of bulk strings, or one line of words. It returns
// io.EOF only where a request may begin. Anything that clients do not send, such as a
// count of zero, is an error.
func readRequest(r *bufio.Reader) ([]string, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(line, "*") {
		if words := strings.Fields(line); len(words) > 0 {
			return words, nil
		}
		return nil, fmt.Errorf("request %q has no words", line)
	}
	n, err := number(line, '*', maxArgs)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("count of arguments %q: %w", line, errors.Join(errMalformed, err))
	}
	var args []string
	for range n {
		arg, err := readBulk(r)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fmt.Errorf("argument %d of %d: %w", len(args), n, err)
		}
		args = append(args, arg)
	}
	return args, nil
}

var errMalformed = errors.New("malformed request")

func readBulk(r *bufio.Reader) (string, error) {
	line, err := readLine(r)
	if err != nil {
		return "", err
	}
	n, err := number(line, '$', maxBulk)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if _, err := io.CopyN(&b, r, int64(n)+2); err != nil {
		return "", err
	}
	arg, ok := strings.CutSuffix(b.String(), "\r\n")
	if !ok {
		return "", fmt.Errorf("%w: no line end after a bulk string of %d bytes", errMalformed, n)
	}
	return arg, nil
}

// number returns the number after the type byte, of 0 to limit.
func number(line string, kind byte, limit int) (int, error) {
	if line == "" || line[0] != kind {
		return 0, fmt.Errorf("%w: %q where %q was due", errMalformed, line, kind)
	}
	n, err := strconv.ParseUint(line[1:], 10, 32)
	if err != nil || n > uint64(limit) {
		return 0, fmt.Errorf("%w: length %q", errMalformed, line)
	}
	return int(n), nil
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err == io.EOF && line != "" {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", err
	}
	line, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return "", fmt.Errorf("%w: line %q ends without a carriage return", errMalformed, line)
	}
	return line, nil
}
