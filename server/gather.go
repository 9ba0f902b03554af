package server

import (
	"bytes"
	"errors"
	"strings"

	"ringway/command"
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
	op     *setOperation
	parts  []gathered
	left   int // parts without a reply
	size   int // bytes that came so far
	failed []byte
}

// gathered is one part.
type gathered struct {
	place   int // as pool.Map.Place
	conn    *pipeline.Conn
	request [][]byte
	reply   []byte // in a buffer of the loop
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
	op, problem := parseSetOperation(cmd, args, keys)
	if problem != nil {
		s.replyError(problem)
		return true
	}
	op.modern = atLeastVersion(s.local.Version(), "7.2")
	m := s.local.Map()
	g := &gathering{s: s, op: op}
	for _, k := range keys {
		g.add(m.Place(args[k]), args[k])
	}
	for i := range g.parts {
		conn, full := s.connTo(m.ShardAt(g.parts[i].place), s.mayReadApart(cmd))
		if full {
			s.await(conn)
			return false
		}
		g.parts[i].conn = conn
	}
	g.number, g.left = s.push(), len(g.parts)
	for i := range g.parts {
		p := &g.parts[i]
		if f := p.conn.Send(resp.AppendRequest(nil, p.request), g, uint32(i)); f != nil {
			g.Fail(uint32(i), f, nil)
		}
	}
	return true
}

// add has one more key fetched. What a shard can do of the operation by itself it
// does: but scores are added up in the order that Redis has, so each key of a
// sorted set comes for itself.
func (g *gathering) add(place int, key []byte) {
	name := g.op.part
	if g.op.sorted {
		g.parts = append(g.parts, gathered{place: place, request: [][]byte{[]byte("ZUNION"), []byte("1"), key, []byte("WITHSCORES")}})
		return
	}
	for i := range g.parts {
		if g.parts[i].place == place {
			g.parts[i].request = append(g.parts[i].request, key)
			return
		}
	}
	if g.op.kind == difference && len(g.parts) > 0 {
		name = "SUNION" // all of it is taken away
	}
	g.parts = append(g.parts, gathered{place: place, request: [][]byte{[]byte(name), key}})
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
	g.s.far += len(b)
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
	for i := range g.parts {
		s.far -= len(g.parts[i].reply)
	}
	if s.conn.Open() {
		reply := g.failed
		if reply == nil {
			var ok bool
			if reply, ok = g.op.result(g.parts, s.protocol); !ok {
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

// setOperation is what becomes of the parts.
type setOperation struct {
	kind       setKind
	part       string // of sets: the command for the keys of one shard
	sorted     bool
	counts     bool // the answer is how many members there are
	limit      int  // counts: stop there; 0 for never
	withScores bool
	weights    []float64 // for each key
	aggregate  aggregate
	modern     bool // the servers write scores as Redis 7.2 does
}

type setKind uint8

const (
	union setKind = iota
	intersection
	difference
)

type aggregate uint8

const (
	aggregateSum aggregate = iota
	aggregateMin
	aggregateMax
)

var errSyntax = errors.New("ERR syntax error")

// parseSetOperation reads a request whose keys have been found.
func parseSetOperation(cmd *command.Command, args [][]byte, keys []int) (*setOperation, error) {
	name := cmd.Name
	op := &setOperation{sorted: name[0] == 'z', counts: strings.HasSuffix(name, "card")}
	switch strings.TrimSuffix(name[1:], "card") {
	case "union":
		op.kind, op.part = union, "SUNION"
	case "inter":
		op.kind, op.part = intersection, "SINTER"
	case "diff":
		op.kind, op.part = difference, "SDIFF"
	}
	if !op.counts && !op.sorted {
		return op, nil
	}
	for range keys {
		op.weights = append(op.weights, 1)
	}
	for rest := args[keys[len(keys)-1]+1:]; len(rest) > 0; {
		n, err := op.option(rest)
		if err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return op, nil
}

// option reads one option and returns how many arguments it has.
func (op *setOperation) option(args [][]byte) (n int, err error) {
	joins := op.sorted && !op.counts && op.kind != difference
	switch option := strings.ToLower(string(args[0])); {
	case option == "limit" && op.counts && len(args) > 1:
		limit, ok := resp.ParseInt(args[1])
		if !ok || limit < 0 || limit > 1<<31-1 {
			return 0, errors.New("ERR LIMIT can't be negative")
		}
		op.limit = int(limit)
		return 2, nil
	case option == "withscores" && op.sorted && !op.counts:
		op.withScores = true
		return 1, nil
	case option == "weights" && joins && len(args) > len(op.weights):
		for i := range op.weights {
			w, ok := parseScore(args[1+i])
			if !ok {
				return 0, errors.New("ERR weight value is not a float")
			}
			op.weights[i] = w
		}
		return 1 + len(op.weights), nil
	case option == "aggregate" && joins && len(args) > 1:
		switch strings.ToLower(string(args[1])) {
		case "sum":
			op.aggregate = aggregateSum
		case "min":
			op.aggregate = aggregateMin
		case "max":
			op.aggregate = aggregateMax
		default:
			return 0, errSyntax
		}
		return 2, nil
	}
	return 0, errSyntax
}
