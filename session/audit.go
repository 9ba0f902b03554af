package session

import (
	"slices"

	"ringway/acl"
	"ringway/audit"
	"ringway/command"
)

// administrative are commands that the audit log tells of besides those of Redis's category admin.
var administrative = []string{
	"flushall", "flushdb", "swapdb", "script|flush", "script|kill",
	"function|delete", "function|flush", "function|kill", "function|load", "function|restore",
}

// auditedCommands says by ID which commands the audit log tells of when they run: administrative ones, and those that
// are served to nobody. Other commands are in it when they are refused.
var auditedCommands = func() (audited []bool) {
	for id := range command.Count() {
		c := command.ByID(id)
		audited = append(audited, !c.Servable() || c.InCategory("admin") || slices.Contains(administrative, c.Name))
	}
	return audited
}()

// isAudited looks a command up there. Those of modules, which have no ID, are not; of them it is those that allow_commands must
// name.
func isAudited(cmd *command.Command) bool {
	if cmd.ID < 0 {
		return cmd.Guarded
	}
	return auditedCommands[cmd.ID]
}

// audit tells the audit log what became of a command, nil for a connection, and whose it is.
func (s *session) audit(cmd *command.Command, user string, verdict audit.Verdict) {
	if !s.w.audit.IsOn() {
		return
	}
	e := audit.Event{Pool: s.poolName, User: user, Client: s.info.addr, Verdict: verdict}
	if cmd != nil {
		e.Command = cmd.Name
	}
	s.w.audit.Add(e)
}

// auditLogin tells the audit log of a wrong password. word is the command, in lower case. A name that the pool does not know is not shown: it may be a
// password in the wrong place.
func (s *session) auditLogin(word, name string) {
	if name != acl.Default && s.local.Conf().Users.Named(name) == nil {
		name = audit.Unknown
	}
	s.audit(command.ByName(word), name, audit.WrongPassword)
}

// runAudited runs a request of a command that the audit log tells of, as far as nothing forbids it. Like handle, it
// reports false if the request must wait.
func (s *session) runAudited(cmd *command.Command, args [][]byte, raw []byte) bool {
	user, verdict := s.userName(), audit.Executed
	switch {
	case !cmd.Servable():
		verdict = audit.NotServed
	case s.tx != nil && cmd.Flags&command.FlagNoMulti != 0:
		verdict = audit.Failed
	case s.tx != nil:
		verdict = audit.Queued
	}
	if !s.runChecked(cmd, args, raw) {
		return false
	}
	s.audit(cmd, user, verdict)
	return true
}
