package session

import (
	"bytes"
	"time"

	"ringway/command"
	"ringway/pipeline"
	"ringway/resp"
)

// A server that runs a script for longer than its busy-reply-threshold answers every other
// client with -BUSY. Through a proxy, clients would not always learn that: the proxy itself
// answers some requests (+QUEUED), and the server does not read what was sent behind the
// script on a shared connection before the script ends. So when a reply is late, the loop
// sends the server a PING over a dedicated connection. While the answer is -BUSY, new
// requests get that error at once and are not queued. As the error says, they were not
// executed.

// stallAfter is how long a request must have been without a reply before its server is asked
// whether it is busy.
const stallAfter = 50 * time.Millisecond

var requestPing = resp.AppendRequest(nil, [][]byte{[]byte("PING")})

// busyProbe is a PING to a server that may be busy, over a dedicated connection, and the Receiver
// of its reply.
type busyProbe struct {
	*shared
	server int
	conn   *pipeline.Conn
}

// probeStalled sends a PING to the servers whose replies to this loop are late, and to those
// known to be busy. It does nothing before the pool's first script.
func (sh *shared) probeStalled() {
	c, w := sh.conditions, sh.w
	if !c.hasRunScripts {
		return
	}
	w.stalledServers = sh.local.StalledShards(w.loop.Now()-int64(stallAfter), w.stalledServers[:0])
	for server := range c.busy {
		w.stalledServers = append(w.stalledServers, server)
	}
	for r := range c.scriptRuns {
		if w.loop.Now()-r.since > int64(stallAfter) {
			w.stalledServers = append(w.stalledServers, r.server)
		}
	}
	for _, server := range w.stalledServers {
		if c.probing[server] {
			continue
		}
		conn, err := sh.local.ConnSet(resp.RESP2, 0).Acquire(server)
		if err != nil {
			continue
		}
		c.probing[server] = true
		p := &busyProbe{shared: sh, server: server, conn: conn}
		if f := conn.Send(requestPing, p, 0); f != nil {
			p.answered(nil, false)
		}
	}
}

// Reply implements pipeline.Receiver.
func (p *busyProbe) Reply(_ uint32, b []byte, last bool) {
	switch {
	case !last:
	case bytes.HasPrefix(b, []byte("-BUSY ")):
		p.answered(bytes.Clone(b), true)
	default:
		p.answered(nil, true)
	}
}

// Fail implements pipeline.Receiver. A server that can't be reached is not busy.
func (p *busyProbe) Fail(uint32, *pipeline.Failure, []byte) { p.answered(nil, false) }

// answered ends the probe, and has all loops note if the server's state has changed. busy is
// the server's -BUSY reply, or nil. clean says that the connection can be used again.
func (p *busyProbe) answered(busy []byte, clean bool) {
	c := p.conditions
	delete(c.probing, p.server)
	p.local.ReleaseDedicated(p.conn, clean)
	if (busy != nil) == (c.busy[p.server] != nil) {
		return
	}
	p.changeConditions(func(peer *shared) {
		if busy != nil {
			peer.conditions.busy[p.server] = busy
		} else {
			delete(peer.conditions.busy, p.server)
		}
	})
}

// refuseBusy answers a request for a busy server with that server's -BUSY, and reports whether
// it did. A request behind others that are unanswered is sent as usual, since the reply could
// not overtake theirs anyway.
func (s *session) refuseBusy(c *conditions, cmd *command.Command, args [][]byte) bool {
	if len(c.busy) == 0 || !s.replies.idle() || cmd.Flags&command.FlagAllowBusy != 0 {
		return false
	}
	if cmd.Name == "exec" {
		return s.abortBusy(c)
	}
	reply := s.busyReply(c, cmd, args)
	if reply == nil {
		return false
	}
	if s.tx != nil {
		s.tx.failed = true
	}
	s.reply(reply)
	return true
}

// abortBusy is refuseBusy for EXEC: it ends the transaction, as Redis does.
func (s *session) abortBusy(c *conditions) bool {
	if s.tx == nil {
		return false
	}
	var reason []byte
	for p := range s.tx.all() {
		shard := p.shard
		if shard < 0 && s.local.Shards() == 1 {
			shard = 0
		}
		if reason = c.busy[shard]; reason != nil {
			break
		}
	}
	if reason == nil {
		return false
	}
	s.tx = nil
	s.unwatch()
	s.reply(append([]byte("-EXECABORT Transaction discarded because of: "), reason[1:]...))
	return true
}

// busyReply returns the -BUSY of a busy server that the request would be sent to, or nil.
func (s *session) busyReply(c *conditions, cmd *command.Command, args [][]byte) []byte {
	switch {
	case cmd.Route == command.Local && !aboutServer(cmd), cmd.Route == command.Transaction, cmd.Route == command.PubSub:
		return nil
	case s.local.Shards() == 1:
		return c.busy[0]
	case cmd.Route == command.Local:
		return nil // the proxy answers for a pool of several servers
	case cmd.Route == command.AllShards, cmd.Route == command.ScanShards:
		if shard, one := patternShard(s.local.Map(), cmd, args); one {
			return c.busy[shard]
		}
		for _, reply := range c.busy {
			return reply
		}
	}
	keys, err := cmd.Keys(args, s.w.keys[:0])
	s.w.keys = keys[:0]
	if err != nil {
		return nil
	}
	if len(keys) == 0 {
		return c.busy[s.defaultServer()]
	}
	ring := s.local.Map()
	for _, k := range keys {
		if reply := c.busy[ring.Index(args[k])]; reply != nil {
			return reply
		}
	}
	return nil
}

// aboutServer reports whether clients use a command to find out whether the server answers. In
// a pool of one shard the server itself answers it, else the proxy.
func aboutServer(cmd *command.Command) bool {
	return cmd.Name == "ping" || cmd.Name == "echo" || cmd.Name == "time"
}
