package session

import (
	"ringway/command"
	"ringway/resp"
)

// maxBatch is how many keys are placed together.
const maxBatch = 64

// batch is plain requests that stand one behind the other in what a client sent.
// All their keys are placed before the first of them is sent: the hash of a key
// is a chain of steps that wait for each other, and so does all that is done
// with a request whose server is not known yet, while the hashes of several keys
// can be computed at once (docs/adr/0015). The keys of a request that is cut by its
// keys' places are placed together too.
type batch struct {
	requests  [maxBatch][]byte
	commands  [maxBatch]*command.Command
	keys      [maxBatch][]byte
	buckets   [maxBatch]int
	plainSet  [maxBatch]bool
	plainSets int

	unsized     [maxBatch]bool // the reply may be of any size
	unsizedOnes int
}

// lookUp finds the command of the parser's request, as command.Lookup does. One
// that begins as the request before need not be looked up again.
func (w *Worker) lookUp() (*command.Command, command.Problem) {
	if w.parser.Known > 0 {
		return command.ByID(w.parser.Known - 1), command.NoProblem
	}
	cmd, problem := command.Lookup(w.parser.Args)
	if problem == command.NoProblem && cmd.NamedByFirst() {
		w.parser.Known = cmd.ID + 1
	}
	return cmd, problem
}

// plain returns the command of the parser's request if it is one that is
// forwarded to the owner of its only key, and nothing else, or nil.
func (s *session) plain() *command.Command {
	parser := &s.w.parser
	if s.tx != nil || s.mutes || s.wantAuth || parser.Inline {
		return nil
	}
	cmd, problem := s.w.lookUp()
	if problem != command.NoProblem || cmd.SoleKey == 0 || cmd.Route != command.OneShard ||
		s.policy.verdicts[cmd.ID] != permitted || !cmd.ArityOK(len(parser.Args)) {
		return nil
	}
	return cmd
}

// runBatch runs the plain requests at the start of b, at most maxBatch of them. The
// first is the parser's, of the given size and command. It returns the bytes of
// those that it has run, and false if the next must wait for room in its
// server's queue.
func (s *session) runBatch(b []byte, size int, cmd *command.Command) (n int, ok bool) {
	batch, m := &s.w.batch, s.local.Map()
	count := s.collect(b, size, cmd)
	m.Buckets(batch.keys[:count], batch.buckets[:count])
	if batch.plainSets > 1 && s.merger != nil {
		if n, ok := s.runMerging(m, count); ok {
			return n, true
		}
	}
	for i, request := range batch.requests[:count] {
		s.ran, s.unsized = uint16(batch.commands[i].ID)+1, batch.unsized[i]
		if !s.forwardTo(batch.commands[i], m.ShardAt(batch.buckets[i]), request) {
			return n, false
		}
		n += len(request)
		if s.closing || !s.hasRoom() || s.local.Map() != m {
			break // the rest is parsed again when its time comes
		}
	}
	return n, true
}

// collect puts the plain requests at the start of b into the loop's batch and
// returns how many there are.
func (s *session) collect(b []byte, size int, cmd *command.Command) (count int) {
	batch, parser := &s.w.batch, &s.w.parser
	batch.plainSets, batch.unsizedOnes = 0, 0
	for cmd != nil {
		batch.requests[count], batch.commands[count], batch.keys[count] = b[:size], cmd, parser.Args[cmd.SoleKey]
		if batch.plainSet[count] = isPlainSet(cmd, batch.requests[count]); batch.plainSet[count] {
			batch.plainSets++
		}
		if batch.unsized[count] = !cmd.ReplyIsSmall(parser.Args); batch.unsized[count] {
			batch.unsizedOnes++
		}
		count++
		if b = b[size:]; count == maxBatch || len(b) == 0 {
			break
		}
		// What follows may have to wait, in part or with a fault in it, and what is
		// known of it must not be taken for knowledge of the request that waits first.
		var ahead resp.RequestState
		if size, _ = parser.Parse(b, &ahead, s.limits); size == 0 {
			break
		}
		cmd = s.plain()
	}
	return count
}
