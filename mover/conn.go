package mover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"ringway/conf"
	"ringway/resp"
)

// replyLimits bound what a server may answer. A payload of DUMP can be as long as a value.
var replyLimits = resp.ReplyLimits{MaxDepth: 32, MaxBulk: 1 << 30, MaxElements: 1 << 26, MaxLine: 64 << 10}

// patience is how long a reply may take to come. It is long: a server may be saving, or deleting a
// large key.
const patience = 30 * time.Second

// An Error is what a server has answered with in place of a reply, without the leading "-".
type Error string

func (e Error) Error() string { return string(e) }

// errPushed reports a message where a reply should be: the connection does not track.
var errPushed = errors.New("server sent a message that nothing asked for")

// conn is a connection to one server, over which requests are pipelined. It belongs to one
// goroutine. After an error that is not an Error it can't be used any more.
type conn struct {
	nc     net.Conn
	db     int64  // selected
	out    []byte // requests that were not written yet
	in     []byte // read, and not returned by frame yet
	used   int    // bytes of in that frame has returned
	state  resp.ReplyState
	unhook func() bool // ends the watch for the context's end
}

// dial connects to a server as a pool's event loops do: with its TLS, user and password. The
// connection ends with ctx. The caller closes it.
func dial(ctx context.Context, p *conf.Pool, s *conf.Server) (*conn, error) {
	attempt, cancel := context.WithTimeout(ctx, p.ConnectTimeout)
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(attempt, s.Network, s.Addr)
	if err != nil {
		return nil, err
	}
	if nc, err = secured(attempt, nc, p, s); err != nil {
		return nil, err
	}
	c := &conn{nc: nc}
	c.unhook = context.AfterFunc(ctx, func() { nc.Close() })
	if err := c.greet(p); err != nil {
		c.close()
		return nil, fmt.Errorf("server %s: %w", s.Name, err)
	}
	return c, nil
}

// greet logs in, and gives the connection a name.
func (c *conn) greet(p *conf.Pool) error {
	if p.RedisAuth != "" {
		auth := []string{"AUTH", p.RedisAuth}
		if p.RedisUser != "" {
			auth = []string{"AUTH", p.RedisUser, p.RedisAuth}
		}
		if _, err := c.do(auth...); err != nil {
			return err
		}
	}
	var refused Error
	if _, err := c.do("CLIENT", "SETNAME", connectionName()); err != nil && !errors.As(err, &refused) {
		return err
	}
	return nil
}

// namePrefix begins the names of this package's connections.
const namePrefix = "ringway-mover/"

// connectionName returns how servers list connections of this process. Two processes may have one number, in
// containers.
var connectionName = sync.OnceValue(func() string { return fmt.Sprintf("%s%d-%08x", namePrefix, os.Getpid(), rand.Uint32()) })

// close ends the connection.
func (c *conn) close() {
	c.unhook()
	c.nc.Close()
}

// send adds a request to those that flush writes.
func (c *conn) send(args ...string) {
	c.out = resp.AppendArray(c.out, len(args))
	for _, arg := range args {
		c.out = resp.AppendBulkString(c.out, arg)
	}
}

// maxKeptOutput is how large a buffer is kept between two writes.
const maxKeptOutput = 1 << 20

// flush writes what send has added.
func (c *conn) flush() error {
	c.nc.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.nc.Write(c.out)
	if c.out = c.out[:0]; cap(c.out) > maxKeptOutput {
		c.out = nil
	}
	return err
}

// do sends one request and returns its reply, which is valid until the next call of any method. An
// error that the server answers with is an Error.
func (c *conn) do(args ...string) ([]byte, error) {
	c.send(args...)
	if err := c.flush(); err != nil {
		return nil, err
	}
	return c.reply()
}

// reply returns the reply to the oldest request that has none; see do.
func (c *conn) reply() ([]byte, error) {
	frame, push, err := c.frame(patience)
	switch {
	case err != nil:
		return nil, err
	case push:
		return nil, errPushed
	}
	return checked(frame)
}

// checked returns a reply, or the error that it is. In RESP3 that may be a blob.
func checked(frame []byte) ([]byte, error) {
	switch frame[0] {
	case '-':
		return nil, Error(bytes.TrimSpace(frame[1:]))
	case '!':
		_, text, _ := bytes.Cut(frame, []byte("\r\n"))
		return nil, Error(bytes.TrimSpace(text))
	}
	return frame, nil
}

// frame returns the next reply or push, which is valid until the next call. Wait bounds how long
// the server may be silent; 0 for no bound.
func (c *conn) frame(wait time.Duration) (frame []byte, push bool, err error) {
	if c.used == len(c.in) && cap(c.in) > maxKeptOutput {
		c.in, c.used = nil, 0
	}
	c.in = c.in[:copy(c.in, c.in[c.used:])]
	c.used = 0
	for scanned := 0; ; {
		n, done, err := c.state.Scan(c.in[scanned:], &replyLimits)
		if err != nil {
			return nil, false, err
		}
		if scanned += n; done {
			c.used = scanned
			return c.in[:scanned], c.state.Push(), nil
		}
		if err := c.read(wait); err != nil {
			return nil, false, err
		}
	}
}

// read adds to in what the server has sent.
func (c *conn) read(wait time.Duration) error {
	const least = 16 << 10
	if cap(c.in)-len(c.in) < least {
		c.in = append(make([]byte, 0, 2*len(c.in)+2*least), c.in...)
	}
	var deadline time.Time
	if wait > 0 {
		deadline = time.Now().Add(wait)
	}
	c.nc.SetReadDeadline(deadline)
	n, err := c.nc.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	if n > 0 {
		return nil
	}
	return err
}

// selectDB makes requests concern a database.
func (c *conn) selectDB(db int64) error {
	if c.db == db {
		return nil
	}
	if _, err := c.do("SELECT", strconv.FormatInt(db, 10)); err != nil {
		return err
	}
	c.db = db
	return nil
}

// answers writes what send has added and calls take with each of the n replies, in order. The error
// that take gets is an Error; take's own error ends the connection's use, as all others do.
func (c *conn) answers(n int, take func(i int, reply []byte, err error) error) error {
	if err := c.flush(); err != nil {
		return err
	}
	for i := range n {
		reply, err := c.reply()
		var refused Error
		if err != nil && !errors.As(err, &refused) {
			return err
		}
		if err := take(i, reply, err); err != nil {
			return err
		}
	}
	return nil
}

// text returns a request's reply as text: that of a status, a string or a number.
func (c *conn) text(args ...string) (string, error) {
	reply, err := c.do(args...)
	return textOf(reply), err
}

// textOf returns the text of a reply, "" for a null or an aggregate.
func textOf(reply []byte) string {
	if text, ok := resp.Text(reply); ok {
		return string(text)
	}
	if len(reply) > 1 && (reply[0] == '+' || reply[0] == ':') {
		return string(bytes.TrimSpace(reply[1:]))
	}
	return ""
}
