package session

import (
	"strings"

	"ringway/audit"
	"ringway/command"
	"ringway/pool"
)

// moduleCommands are the commands that the servers of a pool have and the table of package
// command does not: those of modules. Package topology asks the servers for them (COMMAND), and
// the pool keeps the answer as facts. Each loop makes its own commands from these.
type moduleCommands struct {
	facts  *[]pool.CommandFact // that byName was made from
	byName map[string]*command.Command
}

// moduleCommand returns the module command of that name, or nil if the servers have none.
func (s *session) moduleCommand(name []byte) *command.Command {
	facts := s.local.Commands()
	if facts == nil {
		return nil
	}
	m := s.moduleCommands
	if m == nil || m.facts != facts {
		m = &moduleCommands{facts: facts, byName: map[string]*command.Command{}}
		for _, f := range *facts {
			if c := command.Learn(f.Name, f.Arity, f.Flags, f.Marks, f.First, f.Last, f.Step); c != nil {
				m.byName[c.Name] = c
			}
		}
		s.moduleCommands = m
	}
	return m.byName[strings.ToLower(string(name))]
}

// refusalOfModuleCommand returns the error for a request that has the wrong number of arguments or
// that the pool does not allow; nil if it may be run. The policy has no verdicts for module
// commands, since it is made before they are known.
func (s *session) refusalOfModuleCommand(cmd *command.Command, args [][]byte) []byte {
	dst, c := s.w.scratch[:0], s.local.Conf()
	switch {
	case !cmd.ArityOK(len(args)):
		return command.AppendArity(dst, cmd)
	case cmd.IsNamed(c.DenyCommands):
		s.audit(cmd, s.userName(), audit.DeniedCommand)
		return command.AppendForbidden(dst, cmd)
	case cmd.Guarded && !cmd.IsNamed(c.AllowCommands):
		s.audit(cmd, s.userName(), audit.DeniedCommand)
		return command.AppendGuarded(dst, cmd)
	}
	return nil
}

// runModuleCommand runs a request whose command is not in the table. known reports whether the
// servers have that command; done is then what handle reports.
func (s *session) runModuleCommand(args [][]byte, raw []byte) (known, done bool) {
	if s.wantAuth || s.inSubscriberMode() {
		return false, false
	}
	cmd := s.moduleCommand(args[0])
	if cmd == nil {
		return false, false
	}
	if dst := s.refusalOfModuleCommand(cmd, args); dst != nil {
		switch {
		case s.tx != nil && cmd.ArityOK(len(args)):
			s.refuseQueued(dst)
			return true, true
		case s.tx != nil:
			s.tx.failed = true
		}
		s.reply(dst)
		return true, true
	}
	return true, s.check(cmd, args, s.begin(args, raw))
}
