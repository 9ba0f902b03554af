package session

import (
	"ringway/command"
	"ringway/resp"
)

// maxBatch is the most keys whose owners are computed together.
const maxBatch = 64

// batch holds consecutive plain requests of one client (see session.plain). The buckets of
// all their keys are computed before the first request is sent. A hash is a chain of
// dependent instructions, but the processor can compute the hashes of several keys at the
// same time (docs/adr/0015). split uses keys and buckets for the keys of one request.
//
// The arrays are parallel: element i is about request i. The requests are slices of the
// client's read buffer, so a batch lives no longer than one call of runBatch.
type batch struct {
	requests      [maxBatch][]byte
	commands      [maxBatch]*command.Command
	keys          [maxBatch][]byte
	buckets       [maxBatch]int
	plainSet      [maxBatch]bool
	plainSetCount int
	size          int    // of the requests, in bytes
	noted         bool   // they are in Worker.recent
	notedAt       uint32 // where there

	unsized      [maxBatch]bool // the reply may be of any size (sizes.go)
	unsizedCount int
}

// plain returns the command of the parser's request if the request is plain, else nil. A
// plain request has one key, is forwarded to the key's owner, and nothing about the session
// or the pool (a transaction, AUTH, CLIENT REPLY, conditions) changes how it is run.
func (s *session) plain() *command.Command {
	parser := &s.w.parser
	if s.tx != nil || s.replyModeUsed || s.wantAuth || parser.Inline {
		return nil
	}
	cmd, problem := s.w.lookUp()
	if problem != command.NoProblem || cmd.SoleKey == 0 || cmd.Route != command.OneShard || !cmd.ArityOK(len(parser.Args)) {
		return nil
	}
	if v := s.policy.verdicts[cmd.ID]; v != permitted && !(v == byKey && s.proxyUser.PermitsSoleKey(cmd, parser.Args)) {
		return nil
	}
	return cmd
}

// runBatch runs the plain requests at the start of b, at most maxBatch of them. The parser
// has already parsed the first, which has the given size and command. It returns how many
// bytes of requests it has run, and false if the next one must wait for room in its
// server's queue.
func (s *session) runBatch(b []byte, size int, cmd *command.Command) (n int, ok bool) {
	batch, m := &s.w.batch, s.local.Map()
	count := s.collect(b, size, cmd)
	m.Buckets(batch.keys[:count], batch.buckets[:count])
	s.noteBatch(b, count)
	if batch.plainSetCount > 1 && s.merger != nil {
		if n, ok := s.runMerging(m, count); ok {
			s.w.ran += count
			return n, true
		}
	}
	for i, request := range batch.requests[:count] {
		s.lastCommand, s.unsized = uint16(batch.commands[i].ID)+1, batch.unsized[i]
		s.noteNext(i, n)
		if !s.forwardTo(batch.commands[i], m.ShardAt(batch.buckets[i]), request) {
			s.w.ran += i
			return n, false
		}
		n += len(request)
		if s.closing || !s.hasRoom() || s.local.Map() != m {
			count = i + 1
			break // the rest is parsed again later; its buckets may be outdated by then
		}
	}
	s.w.ran += count
	return n, true
}

// collect puts the plain requests at the start of b into the loop's batch and returns how
// many there are. size and cmd are those of the first, as in runBatch.
func (s *session) collect(b []byte, size int, cmd *command.Command) (count int) {
	batch, parser := &s.w.batch, &s.w.parser
	batch.plainSetCount, batch.unsizedCount, batch.size = 0, 0, 0
	most := maxBatch
	if s.budget != nil {
		most = min(most, s.budget.allowed)
	}
	for cmd != nil {
		batch.requests[count], batch.commands[count], batch.keys[count] = b[:size], cmd, parser.Args[cmd.SoleKey]
		if batch.plainSet[count] = isPlainSet(cmd, batch.requests[count]); batch.plainSet[count] {
			batch.plainSetCount++
		}
		if batch.unsized[count] = !cmd.ReplyIsSmall(parser.Args); batch.unsized[count] {
			batch.unsizedCount++
		}
		count, batch.size = count+1, batch.size+size
		if b = b[size:]; count == most || len(b) == 0 {
			break
		}
		// Parse ahead with a state of its own: the next request may be incomplete or
		// faulty, and s.parse must describe the first request that is not yet run.
		var ahead resp.RequestState
		if size, _ = parser.Parse(b, &ahead, s.limits); size == 0 || size >= s.big.requestFrom {
			break
		}
		cmd = s.plain()
	}
	return count
}
