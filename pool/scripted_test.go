package pool

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"ringway/hashring"
	"ringway/resp"
)

// scriptedServer plays a server of a world. It does nothing by itself: it reads, executes and
// answers requests when the world says so.
type scriptedServer struct {
	w     *world
	index int
	addr  string
	conns []*scriptedConn

	up      bool // connections are accepted
	hung    bool // nothing is done
	full    bool // connections are turned away
	loading bool
	down    bool // -CLUSTERDOWN or -MASTERDOWN
	stale   bool // it still acts as a primary
}

// scriptedConn is its end of a connection.
type scriptedConn struct {
	s       *scriptedServer
	fd      int
	in      []byte
	pending []*scriptedRequest // read and not answered
	out     []byte             // replies that have not left
	closed  bool

	asking, replica, multi, aborted bool
	queued                          []*scriptedRequest // behind MULTI
	unit                            []*ask             // behind MULTI, those that were refused as well
	untold                          []*ask             // answered, and the pool may not know it
}

// scriptedRequest is a request as a server got it.
type scriptedRequest struct {
	name, key string
	a         *ask // nil for what the proxy itself sends
	arg       string
	refused   bool // without having executed it
}

// link makes a connection to the server, and returns the loop's end.
func (s *scriptedServer) link() (fd int, err error) {
	if !s.up {
		return -1, syscall.ECONNREFUSED
	}
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	for _, fd := range ends {
		syscall.SetNonblock(fd, true)
	}
	syscall.SetsockoptInt(ends[0], syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4608) // a few requests fill it
	c := &scriptedConn{s: s, fd: ends[1]}
	if s.full {
		syscall.Write(c.fd, []byte("-ERR max number of clients reached\r\n"))
		syscall.Close(c.fd)
	} else {
		s.conns = append(s.conns, c)
	}
	return ends[0], nil
}

// read reads all that has come.
func (c *scriptedConn) read() (any bool) {
	var buf [32 << 10]byte
	for {
		n, err := syscall.Read(c.fd, buf[:])
		if n <= 0 {
			if c.closed = err != syscall.EAGAIN; c.closed && len(c.in) > 0 {
				c.in = nil // what was cut is not executed
			}
			break
		}
		any = true
		c.in = append(c.in, buf[:n]...)
	}
	for len(c.in) > 0 {
		var state resp.RequestState
		n, err := c.s.w.parser.Parse(c.in, &state, &resp.DefaultLimits)
		if err != nil {
			c.s.w.fail("%s was sent %.100q: %v", c.s.addr, c.in, err)
			return
		}
		if n == 0 {
			break
		}
		c.receive(c.s.w.parser.Args)
		c.in = c.in[n:]
	}
	return any
}

// receive notes a request. One that a server got and has not refused must never come again.
func (c *scriptedConn) receive(args [][]byte) {
	r := &scriptedRequest{name: string(args[0])}
	if len(args) > 1 {
		r.arg = string(args[1])
	}
	if len(args) > 2 && r.name != "CLIENT" && r.name != "WAIT" {
		r.key = r.arg
		id, _ := strconv.Atoi(string(args[2]))
		r.a = c.s.w.asks[id]
		if r.a.writes() && slices.ContainsFunc(r.a.received, func(before *scriptedRequest) bool { return !before.refused }) {
			c.s.w.fail("request %d was sent twice", id)
		}
		r.a.received = append(r.a.received, r)
	}
	c.pending = append(c.pending, r)
}

// serve executes and answers up to n requests.
func (c *scriptedConn) serve(n int) (any bool) {
	for ; n > 0 && len(c.pending) > 0; n-- {
		r := c.pending[0]
		c.pending = c.pending[1:]
		reply := c.reply(r)
		c.s.w.trace("  %s: %s %s %s -> %.60q", c.s.addr, r.name, r.key, r.a, reply)
		c.out = append(c.out, reply...)
		any = true
		if r.a != nil {
			c.untold = append(c.untold, r.a)
		}
	}
	return any
}

// flush sends up to n bytes of the replies.
func (c *scriptedConn) flush(n int) (any bool) {
	n = min(n, len(c.out))
	sent, _ := syscall.Write(c.fd, c.out[:n])
	if sent > 0 {
		c.out = c.out[sent:]
	}
	return sent > 0
}

// end closes the connection; what was read and not answered is lost.
func (c *scriptedConn) end() {
	c.read()
	syscall.Close(c.fd)
	c.s.conns = slices.DeleteFunc(c.s.conns, func(other *scriptedConn) bool { return other == c })
}

// stop ends the server with all its connections.
func (s *scriptedServer) stop() {
	s.up = false
	for len(s.conns) > 0 {
		s.conns[0].end()
	}
}

// reply executes a request, or refuses it.
func (c *scriptedConn) reply(r *scriptedRequest) string {
	asking := c.asking
	if !c.multi {
		c.asking = false
	}
	switch r.name {
	case "PING":
		if c.s.loading {
			return "-LOADING Redis is loading the dataset in memory\r\n"
		}
		if r.arg == "" {
			return "+PONG\r\n"
		}
		return bulk(r.arg)
	case "ECHO":
		if c.s.loading {
			return "-LOADING Redis is loading the dataset in memory\r\n"
		}
		return bulk(r.arg)
	case "WAIT":
		if c.s.w.chance(70) {
			return ":" + r.arg + "\r\n"
		}
		return ":0\r\n"
	case "CLIENT": // SETNAME
		if c.s.loading {
			return "-ERR unknown command 'CLIENT'\r\n"
		}
		return "+OK\r\n"
	case "ASKING":
		c.asking = true
		return "+OK\r\n"
	case "READONLY":
		c.replica = true
		return "+OK\r\n"
	case "HELLO", "SELECT":
		return "+OK\r\n"
	case "MULTI":
		c.multi, c.aborted, c.queued, c.asking = true, false, nil, asking
		return "+OK\r\n"
	case "EXEC":
		return c.exec()
	}
	if refusal := c.s.refusal(r, asking, c.replica); refusal != "" {
		r.refused = true
		if c.multi {
			c.aborted, c.unit = true, append(c.unit, r.a)
		}
		return refusal
	}
	if c.multi {
		c.queued, c.unit = append(c.queued, r), append(c.unit, r.a)
		return "+QUEUED\r\n"
	}
	return c.s.execute(r)
}

func (c *scriptedConn) exec() string {
	queued := c.queued
	aborted := c.aborted
	c.untold, c.unit = append(c.untold, c.unit...), nil
	c.multi, c.queued, c.aborted, c.asking = false, nil, false, false
	for _, r := range queued {
		refusal := ""
		if !aborted {
			refusal = c.s.refusal(r, true, c.replica) // it has lost the shard since
		}
		if aborted || refusal != "" && c.s.w.clustered {
			r.refused = true
			aborted = true
		} else if refusal != "" {
			r.refused = true
			return "-EXECABORT Transaction discarded because of: " + refusal[1:]
		}
	}
	if aborted {
		return "-EXECABORT Transaction discarded because of previous errors.\r\n"
	}
	return "*1\r\n" + c.s.execute(queued[0])
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

// execute executes a request. The reply names it and says which it is of all that were
// executed anywhere.
func (s *scriptedServer) execute(r *scriptedRequest) string {
	s.w.executed++
	r.a.executed++
	text := fmt.Sprintf("%d:%d:", r.a.id, s.w.executed)
	if r.a.large {
		text += strings.Repeat("x", 20<<10)
	}
	return bulk(text)
}

// changes is called before the server refuses fewer or other requests: those on their way
// there may overtake those on their way back.
func (s *scriptedServer) changes() {
	for _, c := range s.conns {
		c.read()
		for _, r := range slices.Concat(c.pending, c.queued) {
			if r.a != nil {
				r.a.unordered = true
			}
		}
		for _, a := range append(c.untold, c.unit...) {
			a.unordered = true
		}
	}
}

// refusal returns what the server says instead of executing a request; "" if it does.
func (s *scriptedServer) refusal(r *scriptedRequest, asking, replica bool) string {
	w := s.w
	writes := r.a.writes()
	shard := w.shardOf(r.key)
	primary := w.primaries[shard]
	switch {
	case s.loading:
		return "-LOADING Redis is loading the dataset in memory\r\n"
	case !w.follows:
		return ""
	case s.stale:
	case w.clustered:
		return s.clusterRefusal(r, asking, replica && !writes)
	case primary != s.index && writes:
		return "-READONLY You can't write against a read only replica.\r\n"
	case primary != s.index && s.down:
		return "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"
	case primary != s.index:
		r.a.unordered = true // the write before it was refused, and comes later
	}
	return ""
}

func (s *scriptedServer) clusterRefusal(r *scriptedRequest, asking, replica bool) string {
	w := s.w
	slot := hashring.Slot([]byte(r.key))
	shard := w.shardOf(r.key)
	primary := w.servers[w.primaries[shard]]
	to, migrates := w.migrating[r.key]
	moved := fmt.Sprintf("-MOVED %d %s\r\n", slot, primary.addr)
	switch {
	case s.down:
		return "-CLUSTERDOWN The cluster is down\r\n"
	case asking && migrates && w.primaries[to] == s.index:
	case primary == s && migrates && w.gone[r.key]:
		return fmt.Sprintf("-ASK %d %s\r\n", slot, w.servers[w.primaries[to]].addr)
	case primary == s:
	case replica && w.home(s.index) == shard && !w.gone[r.key]:
	default:
		return moved
	}
	return ""
}

// outcome reads a reply that execute has made.
func (a *ask) outcome(reply []byte) (id, executed int, ok bool) {
	reply = bytes.TrimPrefix(reply, []byte("*1\r\n"))
	if reply[0] != '$' {
		return 0, 0, false
	}
	_, text, _ := bytes.Cut(reply, []byte("\r\n"))
	n, err := fmt.Sscanf(string(text[:min(len(text), 40)]), "%d:%d:", &id, &executed)
	return id, executed, n == 2 && (err == nil || err == io.EOF)
}
