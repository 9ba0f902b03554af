package session

import (
	"strings"

	"ringway/command"
	"ringway/pool"
)

// learnt are the commands of a pool's servers that the table does not have: those
// of modules. It belongs to a loop.
type learnt struct {
	facts  *[]pool.CommandFact
	byName map[string]*command.Command
}

// learntCommand returns the command of a name that the table does not have, if the
// servers have told of it.
func (s *session) learntCommand(name []byte) *command.Command {
	facts := s.local.Commands()
	if facts == nil {
		return nil
	}
	l := s.learnt
	if l == nil || l.facts != facts {
		l = &learnt{facts: facts, byName: map[string]*command.Command{}}
		for _, f := range *facts {
			if c := command.Learn(f.Name, f.Arity, f.Flags, f.Marks, f.First, f.Last, f.Step); c != nil {
				l.byName[c.Name] = c
			}
		}
		s.learnt = l
	}
	return l.byName[strings.ToLower(string(name))]
}

// refusalOfLearnt is the error that a request gets which has the wrong number of
// arguments or which the pool does not allow, else nil.
func (s *session) refusalOfLearnt(cmd *command.Command, args [][]byte) []byte {
	dst, c := s.w.scratch[:0], s.local.Conf()
	switch {
	case !cmd.ArityOK(len(args)):
		return command.AppendArity(dst, cmd)
	case names(c.DenyCommands, cmd):
		return command.AppendForbidden(dst, cmd)
	case cmd.Guarded && !names(c.AllowCommands, cmd):
		return command.AppendGuarded(dst, cmd)
	}
	return nil
}

// runLearnt runs a request that the table does not know, if the servers do. It
// reports whether they do, and if so what handle reports.
func (s *session) runLearnt(args [][]byte, raw []byte) (known, done bool) {
	if s.wantAuth || s.listening() {
		return false, false
	}
	cmd := s.learntCommand(args[0])
	if cmd == nil {
		return false, false
	}
	if dst := s.refusalOfLearnt(cmd, args); dst != nil {
		if s.tx != nil {
			s.tx.failed = true
		}
		s.reply(dst)
		return true, true
	}
	return true, s.check(cmd, args, s.begin(args, raw))
}
