package session

import (
	"errors"

	"ringway/pipeline"
	"ringway/resp"
)

// PING asks whether requests would be served: load balancers and readiness probes send it. A pool
// of several shards answers it itself while its loop is connected to a server. While it is not,
// PING goes to all servers. If one answers, the pool serves at least its keys, and PING is
// answered. If none does, it gets an error.

// serverPing is the Receiver of a PING that went to all servers.
type serverPing struct {
	s        *session
	number   uint32
	left     int             // how many servers have yet to answer
	pong     []byte          // the reply if a server answers
	answered bool            // the client has the reply
	refusal  []byte          // an error that a server answered, such as -LOADING; nil for none
	large    map[uint32]bool // servers with a reply that comes in parts, which is none to PING
}

var errNobody = errors.New("ERR no server of the pool can be reached")

// pingServers sends PING to all servers, and answers with pong as soon as one of them answers.
func (s *session) pingServers(raw, pong []byte) {
	p := &serverPing{s: s, number: s.push(), left: 1, pong: pong}
	for shard := range s.local.Shards() {
		if conn := s.primaryConn(shard); conn.Up() && !conn.Full() && conn.Send(raw, p, uint32(shard)) == nil {
			p.left++
		}
	}
	p.failed()
}

// Reply is pipeline.Receiver's.
func (p *serverPing) Reply(shard uint32, b []byte, last bool) {
	switch {
	case p.answered || p.large[shard]:
	case !last:
		if p.large == nil {
			p.large = map[uint32]bool{}
		}
		p.large[shard] = true
	case b[0] == '-':
		p.refusal = append(p.refusal[:0], b...)
	default:
		p.answered = true
		p.s.finish(p.number, p.pong)
	}
	if last {
		p.failed()
	}
}

// Fail is pipeline.Receiver's.
func (p *serverPing) Fail(uint32, *pipeline.Failure, []byte) { p.failed() }

// failed counts a server that has answered or failed. After the last one it answers the client, if
// no server did.
func (p *serverPing) failed() {
	if p.left--; p.left > 0 || p.answered {
		return
	}
	p.answered = true
	if p.refusal == nil {
		p.refusal = resp.AppendError(nil, errNobody.Error())
	}
	p.s.finish(p.number, p.refusal)
}
