package session

import (
	"bytes"
	"errors"

	"ringway/command"
	"ringway/join"
	"ringway/pipeline"
	"ringway/resp"
)

// A set operation (SUNION, ZINTER …) or XREAD whose keys are on several shards is computed here:
// the sets or entries are fetched from their shards, and package join computes the reply. As with
// every split request, the shards are read at slightly different times.

// gather is one such request, and the Receiver of what is fetched. They are rare, so nothing of it
// is reused.
type gather struct {
	s       *session
	number  uint32 // of the request in its session
	op      gatherOperation
	fetches []fetch
	left    int    // fetches without a reply
	size    int    // bytes that have come so far; bounded by gather_limit
	failed  []byte // the client's error; nil if there is none
}

// gatherOperation is how a request is made of parts: join.SetOperation, or join.StreamRead.
type gatherOperation interface {
	// KeyByKey reports whether each key is fetched by a request of its own.
	KeyByKey() bool
	// AppendFetch appends the request that fetches keys. It is fetch number i of them.
	AppendFetch(dst []byte, keys [][]byte, i int) []byte
	// AppendReply appends the reply made of the replies to all fetches. It reports false if one
	// of these is not what was asked for.
	AppendReply(dst []byte, parts [][]byte, protocol resp.Protocol) ([]byte, bool)
}

// fetch is a request for one or several keys of one bucket.
type fetch struct {
	bucket int // as pool.Map.Bucket
	conn   *pipeline.Conn
	keys   [][]byte // until the request is sent
	reply  []byte   // in a buffer lent by the loop
}

// errGatherLimit is the client's error for data larger than gather_limit.
var errGatherLimit = errors.New("ERR the data is larger than gather_limit allows; give their keys a common hash tag")

// gather runs a request whose keys are on several shards and whose data can be fetched. Like
// handle, it reports false if the request must wait; then nothing was sent.
func (s *session) gather(cmd *command.Command, args [][]byte) bool {
	keys, err := cmd.Keys(args, s.w.keys[:0])
	s.w.keys = keys[:0]
	if err != nil {
		s.replyError(err)
		return true
	}
	op, problem := s.parseGather(cmd, args, keys)
	if problem != nil {
		s.replyError(problem)
		return true
	}
	m := s.local.Map()
	g := &gather{s: s, op: op}
	for _, k := range keys {
		g.add(m.Bucket(args[k]), args[k])
	}
	for i := range g.fetches {
		conn, full := s.connFor(m.ShardAt(g.fetches[i].bucket), s.mayReadReplica(cmd))
		if full {
			s.await(conn)
			return false
		}
		g.fetches[i].conn = conn
	}
	g.number, g.left = s.push(), len(g.fetches)
	for i := range g.fetches {
		fetch := &g.fetches[i]
		request := op.AppendFetch(nil, fetch.keys, i)
		fetch.keys = nil
		if f := fetch.conn.Send(request, g, uint32(i)); f != nil {
			g.Fail(uint32(i), f, nil)
		}
	}
	return true
}

// parseGather returns the operation of a request. The error is for the client.
func (s *session) parseGather(cmd *command.Command, args [][]byte, keys []int) (gatherOperation, error) {
	if cmd.Name == "xread" {
		return join.NewStreamRead(args, keys), nil
	}
	return join.ParseSetOperation(cmd.Name, args, keys, s.local.Version())
}

// add adds a key to the fetch of its bucket, or to a fetch of its own if the operation wants each
// key separately.
func (g *gather) add(bucket int, key []byte) {
	for i := range g.fetches {
		if g.fetches[i].bucket == bucket && !g.op.KeyByKey() {
			g.fetches[i].keys = append(g.fetches[i].keys, key)
			return
		}
	}
	g.fetches = append(g.fetches, fetch{bucket: bucket, keys: [][]byte{key}})
}

// Reply implements pipeline.Receiver; the tag is the index of the fetch.
func (g *gather) Reply(tag uint32, b []byte, last bool) {
	s, fetch := g.s, &g.fetches[tag]
	if s.conn.Open() && g.failed == nil {
		if g.size += len(b); g.size > int(s.w.conf.GatherLimit) {
			g.fail(resp.AppendError(nil, errGatherLimit.Error()))
		} else {
			g.take(fetch, b)
		}
	}
	if last {
		if fetch.reply != nil && fetch.reply[0] == '-' {
			g.fail(fetch.reply)
		}
		g.countDown()
	}
}

// take appends to the reply of a fetch. b is copied.
func (g *gather) take(fetch *fetch, b []byte) {
	loop := g.s.w.loop
	if fetch.reply == nil {
		fetch.reply = loop.Buffer(len(b))
	} else if len(b) > cap(fetch.reply)-len(fetch.reply) {
		fetch.reply = loop.Grow(fetch.reply, len(b))
	}
	fetch.reply = append(fetch.reply, b...)
	g.s.replies.charge(len(b))
	g.s.checkOutputLimit()
}

// fail records the error reply for the client, if it is the first. reply is copied.
func (g *gather) fail(reply []byte) {
	if g.failed == nil {
		g.failed = bytes.Clone(reply)
	}
}

// Fail implements pipeline.Receiver. Fetches change nothing, so the error need not say what was
// executed.
func (g *gather) Fail(_ uint32, f *pipeline.Failure, _ []byte) {
	g.fail(f.AppendReply(nil))
	g.countDown()
}

// countDown counts a fetch as finished. After the last one it answers the request and gives the
// buffers back.
func (g *gather) countDown() {
	if g.left--; g.left > 0 {
		return
	}
	s := g.s
	replies := make([][]byte, len(g.fetches))
	for i := range g.fetches {
		replies[i] = g.fetches[i].reply
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
	for i := range g.fetches {
		s.w.loop.Release(g.fetches[i].reply)
		g.fetches[i].reply = nil
	}
}
