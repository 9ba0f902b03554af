package session

import (
	"bytes"
	"errors"

	"ringway/command"
	"ringway/join"
	"ringway/pipeline"
	"ringway/resp"
)

// SUNION, ZINTER and the like, whose keys are on several shards, are answered
// from their parts: what each shard has of the sets is fetched, and the operation
// is done here. The parts are not of one moment, as with every split request.

// gathering is one such request. They are rare, so nothing of it is reused.
type gathering struct {
	s      *session
	number uint32 // of the request in its session
	op     *join.SetOperation
	parts  []gathered
	left   int // parts without a reply
	size   int // bytes that came so far
	failed []byte
}

// gathered is one part.
type gathered struct {
	index int // as pool.Map.Bucket
	conn  *pipeline.Conn
	keys  [][]byte // until the request is sent
	reply []byte   // in a buffer of the loop
}

var errGatherLimit = errors.New("ERR the sets are larger than gather_limit allows; give their keys a common hash tag")

// gatherSets runs a set operation whose keys are on several shards. Like handle, it
// reports false if the request must wait.
func (s *session) gatherSets(cmd *command.Command, args [][]byte) bool {
	keys, err := cmd.Keys(args, s.w.keys[:0])
	s.w.keys = keys[:0]
	if err != nil {
		s.replyError(err)
		return true
	}
	op, problem := join.ParseSetOperation(cmd.Name, args, keys, s.local.Version())
	if problem != nil {
		s.replyError(problem)
		return true
	}
	m := s.local.Map()
	g := &gathering{s: s, op: op}
	for _, k := range keys {
		g.add(m.Bucket(args[k]), args[k])
	}
	for i := range g.parts {
		conn, full := s.connTo(m.ShardAt(g.parts[i].index), s.mayReadApart(cmd))
		if full {
			s.await(conn)
			return false
		}
		g.parts[i].conn = conn
	}
	g.number, g.left = s.push(), len(g.parts)
	for i := range g.parts {
		p := &g.parts[i]
		request := op.AppendFetch(nil, p.keys, i == 0)
		p.keys = nil
		if f := p.conn.Send(request, g, uint32(i)); f != nil {
			g.Fail(uint32(i), f, nil)
		}
	}
	return true
}

// add has one more key fetched.
func (g *gathering) add(place int, key []byte) {
	for i := range g.parts {
		if g.parts[i].index == place && !g.op.KeyByKey() {
			g.parts[i].keys = append(g.parts[i].keys, key)
			return
		}
	}
	g.parts = append(g.parts, gathered{index: place, keys: [][]byte{key}})
}

// Reply is pipeline.Receiver's; the tag is the part's index.
func (g *gathering) Reply(tag uint32, b []byte, last bool) {
	s, p := g.s, &g.parts[tag]
	if s.conn.Open() && g.failed == nil {
		if g.size += len(b); g.size > int(s.w.conf.GatherLimit) {
			g.fail(resp.AppendError(nil, errGatherLimit.Error()))
		} else {
			g.take(p, b)
		}
	}
	if last {
		if p.reply != nil && p.reply[0] == '-' {
			g.fail(p.reply)
		}
		g.countDown()
	}
}

func (g *gathering) take(p *gathered, b []byte) {
	loop := g.s.w.loop
	if p.reply == nil {
		p.reply = loop.Buffer(len(b))
	} else if len(b) > cap(p.reply)-len(p.reply) {
		p.reply = loop.Grow(p.reply, len(b))
	}
	p.reply = append(p.reply, b...)
	g.s.replies.charge(len(b))
	g.s.checkOutput()
}

func (g *gathering) fail(reply []byte) {
	if g.failed == nil {
		g.failed = bytes.Clone(reply)
	}
}

// Fail is pipeline.Receiver's. Nothing was changed, whatever has been read.
func (g *gathering) Fail(_ uint32, f *pipeline.Failure, _ []byte) {
	g.fail(f.AppendReply(nil))
	g.countDown()
}

func (g *gathering) countDown() {
	if g.left--; g.left > 0 {
		return
	}
	s := g.s
	replies := make([][]byte, len(g.parts))
	for i := range g.parts {
		replies[i] = g.parts[i].reply
		s.replies.refund(len(replies[i]))
	}
	if s.conn.Open() {
		reply := g.failed
		if reply == nil {
			var ok bool
			if reply, ok = g.op.AppendReply(nil, replies, s.protocol); !ok {
				reply = replyUnexpected
			}
		}
		s.finish(g.number, reply)
	}
	for i := range g.parts {
		s.w.loop.Release(g.parts[i].reply)
		g.parts[i].reply = nil
	}
}
