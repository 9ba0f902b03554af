package session

import (
	"bytes"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// With merge_sets, consecutive SETs of one client for one server reach it as one MSET, which
// costs the server half as much (docs/adr/0017-merging-sets.md). Only SETs without options
// are merged. For these, MSET has the same effects in the same order: the same keys in the
// same database, the same keyspace events, +OK, and the same refusals by a server that
// executes no writes now.
//
// A server may refuse MSET and take SET, because MSET is renamed, or because the user may not
// run it, or not with all of the keys. So the first MSET is a probe, behind which its
// client's requests wait. If it is refused, nothing was executed: its SETs are sent one by
// one, and so are all later ones.

const (
	setHead  = "*3\r\n$3\r\nSET\r\n" // SET may be in lower case
	msetName = "$4\r\nMSET\r\n"

	// mergedBytes is the most bytes that one MSET takes from SETs: as much as Redis reads
	// at once. It bounds how long the server answers nobody else.
	mergedBytes = 16 << 10

	// maxSpareMerged is how many finished MSETs a loop keeps for reuse, for each pool.
	maxSpareMerged = 256
)

var setCommand, _ = command.Lookup([][]byte{[]byte("SET")})

// isPlainSet reports whether a request is SET with a key and a value and no options.
func isPlainSet(cmd *command.Command, request []byte) bool {
	return cmd == setCommand && bytes.HasPrefix(request, []byte(setHead[:len("*3\r\n$3\r\n")]))
}

// merger merges the SETs of one pool on one loop.
type merger struct {
	answers []mergeAnswer // by shard
	spare   []*merged

	// Scratch, for the batch that is being run.
	groups  []setGroup
	groupOf [maxBatch]int16 // by request: its index in groups; noGroup if it is sent as it is
	next    [maxBatch]uint8 // by request: the next one of its group
}

// mergeAnswer is what is known of whether a shard's server takes MSET.
type mergeAnswer uint8

const (
	unprobed mergeAnswer = iota
	probing              // the first MSET is under way
	takesMSET
	refusesMSET
)

const noGroup = -1

// setGroup is the SETs of a batch that one MSET will stand for.
type setGroup struct {
	shard, count, size int
	first, last        uint8 // indices in the batch, linked by merger.next
}

// newMerger returns a merger, or nil if SETs of the pool are not to be merged. They
// are not where primaries change, since each request must be able to go elsewhere by itself,
// nor for an ACL user, who may be allowed some keys only: a probe says nothing about others.
func newMerger(local *pool.Local) *merger {
	if !local.Conf().MergeSets || local.Follows() || local.Conf().RedisUser != "" {
		return nil
	}
	return &merger{answers: make([]mergeAnswer, local.Shards())}
}

// runMerging runs the first count requests of the worker's batch, whose buckets are known,
// and merges their SETs. It returns how many bytes the requests had. It reports false, and
// has done nothing, if there is nothing to merge or not all requests can be sent now.
func (s *session) runMerging(m *pool.Map, count int) (n int, ok bool) {
	batch, mg := &s.w.batch, s.merger
	if !s.hasRoomFor(count, batch.unsizedCount) || s.user != nil || !mg.group(s, m, count) {
		return 0, false
	}
	first, probes := s.replies.tail, false
	for i := range count {
		s.lastCommand, s.unsized = uint16(batch.commands[i].ID)+1, batch.unsized[i]
		s.noteNext(i, n)
		n += len(batch.requests[i])
		s.push()
	}
	for i, request := range batch.requests[:count] {
		switch g := mg.groupOf[i]; {
		case g == noGroup || mg.groups[g].count == 1:
			s.unsized = batch.unsized[i]
			s.sendAs(first+uint32(i), s.primaryConn(m.ShardAt(batch.buckets[i])), request, kindsOf(batch.commands[i]))
		case int(mg.groups[g].first) == i:
			probes = mg.send(s, &mg.groups[g], first) || probes
		}
	}
	s.lastCommand = uint16(batch.commands[count-1].ID) + 1
	if probes {
		s.beSerial()
	}
	return n, true
}

// group puts the batch's requests into groups. Another request ends the group of its server,
// so that the order at each server stays. It reports false if no group has two requests, or
// if a connection is full.
func (mg *merger) group(s *session, m *pool.Map, count int) (found bool) {
	batch, open := &s.w.batch, s.w.fragmentTable(m, s.local)
	mg.groups = mg.groups[:0]
	for len(mg.answers) < s.local.Shards() { // a pool that was reconfigured may have more
		mg.answers = append(mg.answers, unprobed)
	}
	mayProbe, full := batch.mayProbe(count), false
	for i, bucket := range batch.buckets[:count] {
		g := int16(noGroup)
		if batch.plainSet[i] && mg.mayMerge(bucket, mayProbe) {
			g = mg.join(open[bucket], i, bucket, len(batch.requests[i]))
		}
		if g == noGroup || mg.groups[g].count == 1 {
			s.unsized = batch.unsized[i]
			full = full || s.full(s.primaryConn(bucket))
		} else {
			found = true
		}
		open[bucket], mg.groupOf[i] = g, g
	}
	for _, bucket := range batch.buckets[:count] {
		open[bucket] = noGroup
	}
	return found && !full
}

// join adds a request of the batch to the group g, or to a new one if there is none or it is
// full. It returns the group's index.
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

// mayMerge reports whether SETs for a shard may be merged. mayProbe is the batch's.
func (mg *merger) mayMerge(shard int, mayProbe bool) bool {
	answer := mg.answers[shard]
	return answer == takesMSET || answer == unprobed && mayProbe
}

// mayProbe reports whether the batch may contain probes of MSET: its requests are SETs only,
// and so small that each server gets one MSET. Any other request could overtake SETs that
// are refused and sent again.
func (r *batch) mayProbe(count int) bool {
	size := 0
	for _, request := range r.requests[:count] {
		size += len(request)
	}
	return r.plainSetCount == count && size <= mergedBytes
}

// send sends a group as one MSET. number is that of the batch's first request in the
// session's line. It reports whether the MSET is a probe.
func (mg *merger) send(s *session, group *setGroup, number uint32) (probes bool) {
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
	if mg.answers[group.shard] == unprobed {
		mg.answers[group.shard] = probing
		x.request = append(x.request, out[before:]...)
	}
	conn.Commit(out, x, 0, pipeline.KindStatus)
	return x.request != nil
}

// merged is an MSET that stands for several SETs of a session, and the Receiver of its reply.
type merged struct {
	mg      *merger
	s       *session
	shard   int
	sets    []mergedSet
	request []byte // of a probe: the MSET's bytes, from which the SETs are made again if it is refused; else nil
	begun   bool   // a part of a large reply has been passed on
}

// mergedSet is one of the SETs.
type mergedSet struct {
	number uint32 // in the session's line
	size   uint32 // in bytes, of key and value in the MSET
}

// newMerged returns an MSET without SETs, perhaps a finished one.
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

// recycle gives x back for reuse. The caller must not use it any more.
func (x *merged) recycle() {
	if len(x.mg.spare) < maxSpareMerged {
		*x = merged{mg: x.mg, sets: x.sets[:0]}
		x.mg.spare = append(x.mg.spare, x)
	}
}

// Reply is pipeline.Receiver's: each SET gets the reply of the MSET, but for a refused probe.
func (x *merged) Reply(_ uint32, b []byte, last bool) {
	refused := last && !x.begun && refusesMerging(b)
	switch {
	case refused:
		x.mg.answers[x.shard] = refusesMSET
		x.s.w.logOnce.refusedMerging(x.s.poolName, x.s.local.ShardName(x.shard), b)
	case last && x.request != nil && bytes.Equal(b, replyOK):
		x.mg.answers[x.shard] = takesMSET
	case last && x.request != nil:
		x.mg.answers[x.shard] = unprobed
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

// Fail is pipeline.Receiver's: each SET fails. One that was not sent does so with its bytes,
// so that it may be sent to another server.
func (x *merged) Fail(_ uint32, f *pipeline.Failure, request []byte) {
	if x.request != nil {
		x.mg.answers[x.shard] = unprobed
	}
	x.each(request, func(number uint32, set []byte) { x.s.Fail(number, f, set) })
	x.recycle()
}

// each calls fn with the number of each SET and its request, or nil if mset, the bytes of the
// whole MSET, is nil. The request is valid only during the call.
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

// refusesMerging reports whether a reply refuses an MSET in a way in which its SETs need not
// be refused. The server has executed nothing then.
func refusesMerging(reply []byte) bool {
	for _, refusal := range []string{"-NOPERM ", "-ERR unknown command", "-CROSSSLOT ", "-MOVED ", "-ASK ", "-TRYAGAIN "} {
		if bytes.HasPrefix(reply, []byte(refusal)) {
			return true
		}
	}
	return false
}
