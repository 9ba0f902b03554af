package server

import (
	"ringway/command"
	"ringway/resp"
)

// maxRow is how many keys are placed together.
const maxRow = 64

// row is plain requests that stand one behind the other in what a client sent.
// All their keys are placed before the first of them is sent: the hash of a key
// is a chain of steps that wait for each other, and so does all that is done
// with a request whose server is not known yet, while the hashes of several keys
// can be computed at once (docs/adr/0015). The keys of a request that is cut by its
// keys' places are placed together too.
type row struct {
	requests [maxRow][]byte
	commands [maxRow]*command.Command
	keys     [maxRow][]byte
	places   [maxRow]int
	plainSet [maxRow]bool
	any      [maxRow]bool // the reply may be of any size
	sets     int          // plain ones
	blind    int          // those with any
}

// lookUp finds the command of the parser's request, as command.Lookup does. One
// that begins as the request before need not be looked up again.
func (w *worker) lookUp() (*command.Command, command.Problem) {
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

// runRow runs the plain requests at the start of b, at most maxRow of them. The
// first is the parser's, of the given size and command. It returns the bytes of
// those that it has run, and false if the next must wait for room in its
// server's queue.
func (s *session) runRow(b []byte, size int, cmd *command.Command) (n int, ok bool) {
	row, m := &s.w.row, s.local.Map()
	count := s.fillRow(b, size, cmd)
	m.Places(row.keys[:count], row.places[:count])
	if row.sets > 1 && s.merger != nil {
		if n, ok := s.runMerging(m, count); ok {
			return n, true
		}
	}
	for i, request := range row.requests[:count] {
		s.ran, s.any = uint16(row.commands[i].ID)+1, row.any[i]
		if !s.forwardTo(row.commands[i], m.ShardAt(row.places[i]), request) {
			return n, false
		}
		n += len(request)
		if s.closing || !s.hasRoom() || s.local.Map() != m {
			break // the rest is parsed again when its time comes
		}
	}
	return n, true
}

// fillRow puts the plain requests at the start of b into the worker's row and
// returns how many there are.
func (s *session) fillRow(b []byte, size int, cmd *command.Command) (count int) {
	row, parser := &s.w.row, &s.w.parser
	row.sets, row.blind = 0, 0
	for cmd != nil {
		row.requests[count], row.commands[count], row.keys[count] = b[:size], cmd, parser.Args[cmd.SoleKey]
		if row.plainSet[count] = isPlainSet(cmd, row.requests[count]); row.plainSet[count] {
			row.sets++
		}
		if row.any[count] = !cmd.ReplyIsSmall(parser.Args); row.any[count] {
			row.blind++
		}
		count++
		if b = b[size:]; count == maxRow || len(b) == 0 {
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
