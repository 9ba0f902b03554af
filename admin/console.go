package admin

import (
	"net"
	"strings"
	"time"

	"github.com/tidwall/redcon"

	"ringway/resp"
)

// consoleLimits bound a request of the console.
var consoleLimits = resp.Limits{MaxBulk: 64 << 10, MaxArgs: 64, MaxRequest: 256 << 10, MaxInline: 16 << 10}

// serveConsole answers the requests of a client that speaks RESP, until it leaves.
func (a *Admin) serveConsole(conn net.Conn) {
	c := &console{a: a, conn: conn, authorized: a.conf.Admin.Password == ""}
	var parser resp.RequestParser
	var pending []byte
	chunk := make([]byte, 16<<10)
	for {
		var state resp.RequestState
		n, err := parser.Parse(pending, &state, &consoleLimits)
		if err != nil {
			conn.Write(redcon.AppendError(nil, "ERR "+err.Error()))
			return
		}
		if n > 0 {
			if len(parser.Args) > 0 && !c.run(parser.Args) {
				return // and the client's unread requests with it
			}
			pending = pending[n:]
			continue
		}
		conn.SetReadDeadline(time.Now().Add(consoleIdle))
		read, err := conn.Read(chunk)
		if err != nil {
			return
		}
		pending = append(pending, chunk[:read]...)
	}
}

const (
	consoleIdle  = 10 * time.Minute // a person may think for long between two commands
	writeTimeout = 10 * time.Second // for a client that does not read
)

// console is one client of the console.
type console struct {
	a          *Admin
	conn       net.Conn
	authorized bool
}

// run runs a request. It reports false if the connection is to be closed.
func (c *console) run(args [][]byte) bool {
	name, reply := strings.ToLower(string(args[0])), []byte(nil)
	switch {
	case name == "quit":
		c.write(redcon.AppendOK(nil))
		return false
	case name == "auth":
		reply = c.auth(args)
	case !c.authorized:
		reply = redcon.AppendError(nil, "NOAUTH Authentication required.")
	case name == "ping":
		reply = redcon.AppendString(nil, "PONG")
	default:
		reply = redcon.AppendError(nil, "ERR unknown command '"+printable(args[0])+"'")
	}
	return c.write(reply)
}

// auth runs AUTH [user] password.
func (c *console) auth(args [][]byte) []byte {
	switch {
	case len(args) < 2 || len(args) > 3:
		return redcon.AppendError(nil, "ERR wrong number of arguments for 'auth' command")
	case !c.a.passwordIs(string(args[len(args)-1])):
		return redcon.AppendError(nil, "WRONGPASS invalid username-password pair or user is disabled.")
	}
	c.authorized = true
	return redcon.AppendOK(nil)
}

// write reports whether the client has taken the reply.
func (c *console) write(reply []byte) bool {
	c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := c.conn.Write(reply)
	return err == nil
}

// printable returns at most 64 bytes of what a client has sent, for an error.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(b[:min(len(b), 64)]))
}
