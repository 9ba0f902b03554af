package topology

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"ringway/conf"
	"ringway/resp"
)

// A rawConn is a connection to one server that is made exactly as event loops make theirs, so
// that a server which accepts one accepts the other. go-redis has ways of its own: where AUTH
// is refused because the server has no password, its HELLO is not.
type rawConn struct {
	nc net.Conn
	r  *bufio.Reader
}

// dialRaw connects, with AUTH unless auth is nil and SELECT unless the pool's database is 0.
// All that must be done in connect_timeout, which also stays set as the deadline of the
// connection. The caller closes it.
func dialRaw(ctx context.Context, c *conf.Pool, auth []string, s *conf.Server) (*rawConn, error) {
	nc, err := dialer(ctx, c, c.ServerTLS)(ctx, s.Network, s.Addr)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(c.ConnectTimeout))
	conn := &rawConn{nc, bufio.NewReader(nc)}
	if auth != nil {
		err = conn.do(append([]string{"AUTH"}, auth...)...)
	}
	if err == nil && c.RedisDB != 0 {
		err = conn.do("SELECT", strconv.Itoa(c.RedisDB))
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return conn, nil
}

// A refusal is an error that a server has answered with, without the leading "-".
type refusal string

func (r refusal) Error() string { return string(r) }

var errNotStatus = errors.New("not a status")

// do sends a request whose reply is a status. If the server answers with an error, that is
// returned as a refusal; another type of reply is errNotStatus.
func (c *rawConn) do(args ...string) error {
	request := make([][]byte, len(args))
	for i, arg := range args {
		request[i] = []byte(arg)
	}
	if _, err := c.nc.Write(resp.AppendRequest(nil, request)); err != nil {
		return err
	}
	line, err := c.r.ReadString('\n')
	switch {
	case err != nil:
		return err
	case line[0] == '-':
		return refusal(strings.TrimSpace(line[1:]))
	case line[0] != '+':
		return fmt.Errorf("%s: %w: %.40q", args[0], errNotStatus, line)
	}
	return nil
}
