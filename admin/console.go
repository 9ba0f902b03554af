package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"

	"ringway/audit"
	"ringway/resp"
	"ringway/server"
)

const (
	consoleIdle  = 10 * time.Minute // a person may think for long between two commands
	writeTimeout = 10 * time.Second // for a client that does not read
)

// consoleLimits bound a request of the console.
var consoleLimits = resp.Limits{MaxBulk: 64 << 10, MaxArgs: 64, MaxRequest: 256 << 10, MaxInline: 16 << 10}

// serveConsole answers the requests of a client that speaks RESP, until it leaves.
func (a *Admin) serveConsole(conn net.Conn) {
	c := &console{a: a, conn: conn, authorized: a.srv.Conf().Admin.Password == ""}
	var parser resp.RequestParser
	var pending []byte
	chunk := make([]byte, 16<<10)
	for {
		var state resp.RequestState
		n, err := parser.Parse(pending, &state, &consoleLimits)
		if err != nil {
			c.write(resp.AppendError(nil, "ERR "+err.Error()))
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

// console is one client of the console.
type console struct {
	a          *Admin
	conn       net.Conn
	authorized bool
	resp3      bool // maps for programs in place of lines for people
}

// consoleCommand is one command of the console.
type consoleCommand struct {
	usage, about string
	run          func(c *console, args []string) ([]byte, error) // args without the name
}

// consoleCommands returns the commands by their names, which HELP shows in the order of helpOrder.
func consoleCommands() map[string]consoleCommand {
	return map[string]consoleCommand{
		"show":      {"SHOW " + viewNames(), "one table; SHOW HELP explains them", (*console).show},
		"eject":     {"EJECT pool server", "take a server of a static pool down until RESTORE", (*console).eject},
		"restore":   {"RESTORE pool server", "put it back to work", (*console).restore},
		"reconnect": {"RECONNECT pool server", "make the connections to it anew, one after the other; no request fails", (*console).reconnect},
		"reload":    {"RELOAD [MOVEKEYS]", "read the configuration again; MOVEKEYS permits that keys get other servers", (*console).reload},
		"upgrade":   {"UPGRADE", "start the program anew and hand the clients over to it", (*console).upgrade},
		"drain":     {"DRAIN", "end the process as SIGTERM does: after drain_delay, when requests under way are answered", (*console).drain},
		"pause":     {"PAUSE POOL pool [timeout]", "have all requests of the pool wait until RESUME, for 1m at most, or the timeout", (*console).pause},
		"resume":    {"RESUME POOL pool", "end its pause", (*console).resume},
		"kill":      {"KILL client-id", "close a client's connection", (*console).kill},
		"log":       {"LOG LEVEL debug|info|warn|error", "change the log's level until the next start", (*console).logLevel},
		"help":      {"HELP", "this", (*console).help},
	}
}

var helpOrder = []string{"show", "eject", "restore", "reconnect", "reload", "upgrade", "pause", "resume", "drain", "kill", "log", "help"}

// run runs a request. It reports false if the connection is to be closed.
func (c *console) run(args [][]byte) bool {
	name := strings.ToLower(string(args[0]))
	switch {
	case name == "quit":
		c.write(redcon.AppendOK(nil))
		return false
	case name == "auth":
		return c.write(c.auth(args))
	case name == "hello":
		return c.write(c.hello(args))
	case !c.authorized:
		if _, known := consoleCommands()[name]; known {
			c.audit(name, nil, audit.NotAuthenticated)
		}
		return c.write(resp.AppendError(nil, "NOAUTH Authentication required."))
	case name == "ping":
		return c.write(redcon.AppendString(nil, "PONG"))
	case name == "command" || name == "client":
		return c.write(redcon.AppendArray(nil, 0)) // what redis-cli and client libraries begin with
	}
	cmd, ok := consoleCommands()[name]
	if !ok {
		return c.write(resp.AppendError(nil, "ERR unknown command '"+printable(args[0])+"': HELP lists the commands of this console; Redis's are for the pools' addresses"))
	}
	var texts []string
	for _, arg := range args[1:] {
		texts = append(texts, string(arg))
	}
	if name == "upgrade" {
		c.a.upgrading.Lock()
		defer c.a.upgrading.Unlock()
	}
	reply, err := cmd.run(c, texts)
	c.auditRun(name, texts, err)
	if err != nil {
		reply = resp.AppendError(nil, "ERR "+strings.Map(printableRune, err.Error()))
	}
	return c.write(reply)
}

// errUsage reports arguments that a command does not take.
func errUsage(name string) error {
	return fmt.Errorf("wrong arguments; want %s", consoleCommands()[name].usage)
}

// auth runs AUTH [user] password.
func (c *console) auth(args [][]byte) []byte {
	switch {
	case len(args) < 2 || len(args) > 3:
		return resp.AppendError(nil, "ERR wrong number of arguments for 'auth' command")
	case !c.a.passwordIs(string(args[len(args)-1])):
		c.audit("auth", nil, audit.WrongPassword)
		return resp.AppendError(nil, "WRONGPASS invalid username-password pair or user is disabled.")
	}
	c.authorized = true
	return redcon.AppendOK(nil)
}

// hello runs HELLO [2|3 [AUTH user password]].
func (c *console) hello(args [][]byte) []byte {
	if len(args) > 1 && string(args[1]) != "2" && string(args[1]) != "3" {
		return resp.AppendError(nil, "NOPROTO unsupported protocol version")
	}
	if len(args) == 5 && strings.EqualFold(string(args[2]), "auth") {
		if reply := c.auth(args[2:]); reply[0] == '-' {
			return reply
		}
	} else if len(args) > 2 {
		return resp.AppendError(nil, "ERR syntax error in HELLO")
	}
	if !c.authorized {
		return resp.AppendError(nil, "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
	}
	if len(args) > 1 {
		c.resp3 = string(args[1]) == "3"
	}
	proto := resp.RESP2
	if c.resp3 {
		proto = resp.RESP3
	}
	dst := proto.AppendMap(nil, 4)
	for _, pair := range [][2]string{{"server", "ringway"}, {"version", c.a.version}, {"mode", "console"}} {
		dst = redcon.AppendBulkString(redcon.AppendBulkString(dst, pair[0]), pair[1])
	}
	return redcon.AppendInt(redcon.AppendBulkString(dst, "proto"), int64(proto.Version()))
}

func viewNames() string {
	var names []string
	for _, v := range views() {
		names = append(names, v.name)
	}
	return strings.Join(names, "|")
}

// show runs SHOW name.
func (c *console) show(args []string) ([]byte, error) {
	if len(args) != 1 {
		return nil, errUsage("show")
	}
	if strings.EqualFold(args[0], "help") {
		var rows [][]any
		for _, v := range views() {
			rows = append(rows, []any{"SHOW " + v.name, v.about})
		}
		return c.table([]string{"command", "shows"}, rows), nil
	}
	for _, v := range views() {
		if strings.EqualFold(args[0], v.name) {
			return c.table(v.columns, v.rows(c.a)), nil
		}
	}
	return nil, fmt.Errorf("SHOW %s is unknown; want SHOW %s", args[0], viewNames())
}

// help runs HELP.
func (c *console) help([]string) ([]byte, error) {
	var rows [][]any
	for _, name := range helpOrder {
		rows = append(rows, []any{consoleCommands()[name].usage, consoleCommands()[name].about})
	}
	return c.table([]string{"command", "does"}, rows), nil
}

// eject runs EJECT pool server.
func (c *console) eject(args []string) ([]byte, error) {
	return c.byHand("eject", args, (*server.Server).EjectByHand)
}

// restore runs RESTORE pool server.
func (c *console) restore(args []string) ([]byte, error) {
	return c.byHand("restore", args, (*server.Server).RestoreByHand)
}

func (c *console) byHand(name string, args []string, do func(srv *server.Server, pool, server string) error) ([]byte, error) {
	if len(args) != 2 {
		return nil, errUsage(name)
	}
	if err := do(c.a.srv, args[0], args[1]); err != nil {
		return nil, err
	}
	return redcon.AppendOK(nil), nil
}

// reconnect runs RECONNECT pool server.
func (c *console) reconnect(args []string) ([]byte, error) {
	if len(args) != 2 {
		return nil, errUsage("reconnect")
	}
	n, err := c.a.srv.Reconnect(args[0], args[1])
	if err != nil {
		return nil, err
	}
	c.a.log.Info("connections made anew by the console", "pool", args[0], "server", args[1], "connections", n)
	return redcon.AppendString(nil, fmt.Sprintf("OK %d connections", n)), nil
}

// kill runs KILL id.
func (c *console) kill(args []string) ([]byte, error) {
	if len(args) != 1 {
		return nil, errUsage("kill")
	}
	id, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return nil, errUsage("kill")
	}
	if !c.a.srv.Kill(id) {
		return nil, errors.New("no such client; SHOW CLIENTS lists them")
	}
	return redcon.AppendOK(nil), nil
}

// logLevel runs LOG LEVEL name.
func (c *console) logLevel(args []string) ([]byte, error) {
	var level slog.Level
	if len(args) != 2 || !strings.EqualFold(args[0], "level") || level.UnmarshalText([]byte(args[1])) != nil {
		return nil, errUsage("log")
	}
	c.a.level.Set(level)
	c.a.log.Info("log level changed by the console", "log_level", strings.ToLower(level.String()))
	return redcon.AppendOK(nil), nil
}

// table returns a table: aligned lines for people, an array of maps in RESP3.
func (c *console) table(columns []string, rows [][]any) []byte {
	if !c.resp3 {
		all := lines(columns, rows)
		dst := redcon.AppendArray(nil, len(all))
		for _, line := range all {
			dst = redcon.AppendString(dst, line)
		}
		return dst
	}
	dst := redcon.AppendArray(nil, len(rows))
	for _, row := range rows {
		dst = resp.RESP3.AppendMap(dst, len(columns))
		for i, name := range columns {
			dst = appendValue(redcon.AppendBulkString(dst, name), row[i])
		}
	}
	return dst
}

// appendValue appends a cell in the type of RESP3 that fits.
func appendValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case int:
		return redcon.AppendInt(dst, int64(v))
	case int64:
		return redcon.AppendInt(dst, v)
	case uint64:
		return redcon.AppendInt(dst, int64(v))
	case rate:
		return appendDouble(dst, float64(v))
	case byteRate:
		return appendDouble(dst, float64(v))
	case duration:
		return appendDouble(dst, float64(v))
	case ratio:
		return appendDouble(dst, float64(v))
	case age:
		if v < 0 {
			return append(dst, "_\r\n"...)
		}
		return appendDouble(dst, float64(v))
	}
	return redcon.AppendBulkString(dst, fmt.Sprint(v))
}

func appendDouble(dst []byte, v float64) []byte {
	return append(strconv.AppendFloat(append(dst, ','), v, 'g', -1, 64), "\r\n"...)
}

// write reports whether the client has taken the reply.
func (c *console) write(reply []byte) bool {
	c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := c.conn.Write(reply)
	return err == nil
}

// printable returns at most 64 bytes of what a client has sent, for an error.
func printable(b []byte) string { return strings.Map(printableRune, string(b[:min(len(b), 64)])) }

// printableRune replaces what a terminal would not show.
func printableRune(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}
