package session

import (
	"bytes"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// SETs that one client sends behind each other reach a server as one MSET, which
// costs it half as much (docs/adr/0017). MSET does what they do, in their order:
// the same keys in the same database, the same events, +OK, and the refusals of a
// server that executes no write now. It is only for SETs without options.
//
// A server may refuse MSET and take SET: it was renamed, or the user may not use
// it, or not on all of the keys. That is tried out with the first one, while its
// client's requests wait: if it is refused, nothing was executed, and the SETs are
// sent one by one, then and from then on.

const (
	setHead  = "*3\r\n$3\r\nSET\r\n" // or in other letters
	msetName = "$4\r\nMSET\r\n"

	// mergedBytes is the most that is merged: what Redis reads at once. It bounds
	// for how long the server answers nobody else.
	mergedBytes = 16 << 10

	// spareMerged is how many finished ones a loop keeps for each pool.
	spareMerged = 256
)

var setCommand, _ = command.Lookup([][]byte{[]byte("SET")})

// isPlainSet tells whether a request is SET with a key and a value, no more.
func isPlainSet(cmd *command.Command, request []byte) bool {
	return cmd == setCommand && bytes.HasPrefix(request, []byte(setHead[:len("*3\r\n$3\r\n")]))
}

// merger is what one loop knows of merging SETs in a pool.
type merger struct {
	answers []mergeAnswer // of each shard
	spare   []*merged

	// Of the batch that is being run.
	groups  []setGroup
	groupOf [maxBatch]int16 // of each request; noGroup for those that are sent as they are
	next    [maxBatch]uint8 // for each request, the next of its group
}

// mergeAnswer is what a shard's server has said to MSET.
type mergeAnswer uint8

const (
	notAsked mergeAnswer = iota
	asked                // the first is under way
	takesMSET
	refusesMSET
)

const noGroup = -1

// setGroup is SETs of a batch for one server.
type setGroup struct {
	shard, count, size int
	first, last        uint8 // in the batch
}

// newMerger returns what a loop needs to merge the SETs of a pool, or nil if that
// is not wanted, or not safe: an ACL user may be allowed some keys only, of which
// the first MSET need not tell anything.
func newMerger(local *pool.Local) *merger {
	if !local.Conf().MergeSets || local.Follows() || local.Conf().RedisUser != "" {
		return nil
	}
	return &merger{answers: make([]mergeAnswer, local.Shards())}
}

// runMerging runs the worker's batch, whose keys are placed, and returns the bytes of
// its requests. It reports false if nothing is to be merged, or not all of it
// can be sent now: then nothing was done.
func (s *session) runMerging(m *pool.Map, count int) (n int, ok bool) {
	batch, mg := &s.w.batch, s.merger
	if !s.hasRoomFor(count, batch.unsizedCount) || s.user != nil || !mg.group(s, m, count) {
		return 0, false
	}
	first, asks := s.replies.tail, false
	for i := range count {
		s.unsized = batch.unsized[i]
		s.push()
	}
	for i, request := range batch.requests[:count] {
		n += len(request)
		switch g := mg.groupOf[i]; {
		case g == noGroup || mg.groups[g].count == 1:
			s.unsized = batch.unsized[i]
			s.sendAs(first+uint32(i), s.primaryConn(m.ShardAt(batch.buckets[i])), request, kindsOf(batch.commands[i]))
		case int(mg.groups[g].first) == i:
			asks = mg.send(s, &mg.groups[g], first) || asks
		}
	}
	s.ran = uint16(batch.commands[count-1].ID) + 1
	if asks {
		s.beSerial()
	}
	return n, true
}

// group finds the groups of a batch. A request of another kind ends the group of its
// server, so that their order stays. It reports false if none has two, or if a
// connection is full.
func (mg *merger) group(s *session, m *pool.Map, count int) (found bool) {
	batch, open := &s.w.batch, s.w.fragmentTable(m, s.local)
	mg.groups = mg.groups[:0]
	mayAsk, full := batch.mayAsk(count), false
	for i, place := range batch.buckets[:count] {
		g := int16(noGroup)
		if batch.plainSet[i] && mg.may(place, mayAsk) {
			g = mg.join(open[place], i, place, len(batch.requests[i]))
		}
		if g == noGroup || mg.groups[g].count == 1 {
			s.unsized = batch.unsized[i]
			full = full || s.full(s.primaryConn(place))
		} else {
			found = true
		}
		open[place], mg.groupOf[i] = g, g
	}
	for _, place := range batch.buckets[:count] {
		open[place] = noGroup
	}
	return found && !full
}

// join adds a request of the batch to a group, or to a new one if there is none or it
// is full, and returns which it is.
func (mg *merger) join(g int16, request, shard, size int) int16 {
	i := uint8(request)
	if g == noGroup || mg.groups[g].size+size > mergedBytes {
		mg.groups = append(mg.groups, setGroup{shard: shard, count: 1, size: size, first: i, last: i})
		return int16(len(mg.groups) - 1)
	}
	group := &mg.groups[g]
	mg.next[group.last] = i
	group.count, group.size, group.last = group.count+1, group.size+size, i
	return g
}

// may tells whether SETs for a shard may be merged.
func (mg *merger) may(shard int, mayAsk bool) bool {
	answer := mg.answers[shard]
	return answer == takesMSET || answer == notAsked && mayAsk
}

// mayAsk tells whether a batch may show whether a server takes MSET: nothing in it
// may overtake what is refused and sent again.
func (r *batch) mayAsk(count int) bool {
	size := 0
	for _, request := range r.requests[:count] {
		size += len(request)
	}
	return r.plainSetCount == count && size <= mergedBytes
}

// send sends a group of the batch's requests, of which the batch's first has the given
// number. It reports whether it is the first MSET for its server.
func (mg *merger) send(s *session, group *setGroup, number uint32) (asks bool) {
	conn := s.primaryConn(group.shard)
	out, failure := conn.Reserve(group.size + 2*bulkFraming)
	before := len(out)
	x := mg.newMerged(s, group.shard)
	out = resp.AppendArray(out, 1+2*group.count)
	out = append(out, msetName...)
	for i, left := group.first, group.count; left > 0; i, left = mg.next[i], left-1 {
		pair := s.w.batch.requests[i][len(setHead):]
		out = append(out, pair...)
		x.sets = append(x.sets, mergedSet{number + uint32(i), uint32(len(pair))})
	}
	if failure != nil {
		x.Fail(0, failure, nil)
		return false
	}
	if mg.answers[group.shard] == notAsked {
		mg.answers[group.shard] = asked
		x.request = append(x.request, out[before:]...)
	}
	conn.Commit(out, x, 0, pipeline.KindStatus)
	return x.request != nil
}

// merged is an MSET that stands for several SETs of a session, and their Receiver.
type merged struct {
	mg      *merger
	s       *session
	shard   int
	sets    []mergedSet
	request []byte // of the first to its server: the MSET, to be sent otherwise if it is refused
	begun   bool   // a part of a large reply has been passed on
}

// mergedSet is one of the SETs.
type mergedSet struct {
	number uint32 // in its session
	size   uint32 // of key and value in the MSET
}

func (mg *merger) newMerged(s *session, shard int) (x *merged) {
	if last := len(mg.spare) - 1; last >= 0 {
		x = mg.spare[last]
		mg.spare = mg.spare[:last]
	} else {
		x = &merged{mg: mg}
	}
	x.s, x.shard = s, shard
	return x
}

func (x *merged) recycle() {
	if len(x.mg.spare) < spareMerged {
		*x = merged{mg: x.mg, sets: x.sets[:0]}
		x.mg.spare = append(x.mg.spare, x)
	}
}

// Reply is pipeline.Receiver's: what the MSET gets, each SET gets.
func (x *merged) Reply(_ uint32, b []byte, last bool) {
	refused := last && !x.begun && refusesMerging(b)
	switch {
	case refused:
		x.mg.answers[x.shard] = refusesMSET
		x.s.w.once.refusedMerging(x.s.poolName, x.s.local.Conf().Servers[x.shard].Name, b)
	case last && x.request != nil && bytes.Equal(b, replyOK):
		x.mg.answers[x.shard] = takesMSET
	case last && x.request != nil:
		x.mg.answers[x.shard] = notAsked
	}
	if refused && x.request != nil {
		x.each(x.request, func(number uint32, set []byte) {
			x.s.sendAs(number, x.s.primaryConn(x.shard), set, kindsOf(setCommand))
		})
	} else {
		for _, set := range x.sets {
			x.s.Reply(set.number, b, last)
		}
	}
	x.begun = true
	if last {
		x.recycle()
	}
}

// Fail is pipeline.Receiver's. SETs that were not sent fail with what they were.
func (x *merged) Fail(_ uint32, f *pipeline.Failure, request []byte) {
	if x.request != nil {
		x.mg.answers[x.shard] = notAsked
	}
	x.each(request, func(number uint32, set []byte) { x.s.Fail(number, f, set) })
	x.recycle()
}

// each calls fn with each SET's number and, if mset is not nil, its request, which
// is valid only during the call.
func (x *merged) each(mset []byte, fn func(number uint32, request []byte)) {
	var request []byte
	off := len(mset)
	for _, set := range x.sets {
		off -= int(set.size)
	}
	for _, set := range x.sets {
		if mset != nil {
			request = append(append(request[:0], setHead...), mset[off:][:set.size]...)
			off += int(set.size)
		}
		fn(set.number, request)
	}
}

// refusesMerging tells whether a server has refused an MSET for what it is: it may
// take the SETs that it stands for. It has executed nothing then.
func refusesMerging(reply []byte) bool {
	for _, refusal := range []string{"-NOPERM ", "-ERR unknown command", "-CROSSSLOT ", "-MOVED ", "-ASK ", "-TRYAGAIN "} {
		if bytes.HasPrefix(reply, []byte(refusal)) {
			return true
		}
	}
	return false
}
