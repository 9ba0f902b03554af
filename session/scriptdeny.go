package session

import (
	"bytes"
	"strings"

	"ringway/audit"
	"ringway/command"
)

// deny_commands can't be enforced in scripts: only the server knows what a script calls, and
// only ACL rules there bind it (redis_user). But a script that names a denied command in
// quotes is refused. Nearly all scripts call commands that way, so this stops mistakes,
// though not somebody who means harm.

// deniedInScripts is the commands that a pool denies, with the words by which scripts name
// them.
type deniedInScripts []denied

// denied is a command that a pool denies.
type denied struct {
	cmd   *command.Command
	words []string // its name; of a subcommand, the container's name and its own
}

// newDeniedInScripts returns what to look for in scripts. names are those of deny_commands.
func newDeniedInScripts(names []string) (d deniedInScripts) {
	for _, name := range names {
		if name == "*" || name[0] == '@' {
			for id := range command.Count() {
				if cmd := command.ByID(id); !cmd.IsContainer() && cmd.IsNamed([]string{name}) {
					d = append(d, denied{cmd, strings.Split(cmd.Name, "|")})
				}
			}
			continue
		}
		if cmd := command.ByName(name); cmd != nil {
			d = append(d, denied{cmd, strings.Split(name, "|")})
		}
	}
	return d
}

// scriptOf returns the script that a request contains for a server to run or load, or nil.
func scriptOf(cmd *command.Command, args [][]byte) []byte {
	switch cmd.Name {
	case "eval", "eval_ro":
		return args[1]
	case "script|load", "function|load":
		return args[len(args)-1]
	}
	return nil
}

// bringsScript reports whether requests of a command contain a script (scriptOf).
func bringsScript(cmd *command.Command) bool {
	switch cmd.Name {
	case "eval", "eval_ro", "script|load", "function|load":
		return true
	}
	return false
}

// in returns a denied command that a script names in quotes, or nil. It knows nothing of
// Lua's syntax: whatever stands between two equal quotes counts.
func (d deniedInScripts) in(script []byte) *command.Command {
	if len(d) == 0 || script == nil {
		return nil
	}
	named := map[string]bool{}
	for rest := script; ; {
		at := bytes.IndexAny(rest, `'"`)
		if at < 0 {
			break
		}
		rest = rest[at:]
		end := bytes.IndexByte(rest[1:], rest[0]) + 1
		if end > 0 && end <= maxCommandName {
			named[strings.ToLower(string(rest[1:end]))] = true
		}
		rest = rest[1:] // the closing quote is looked at as an opening one, too
	}
	for _, deny := range d {
		all := true
		for _, word := range deny.words {
			all = all && named[word]
		}
		if all {
			return deny.cmd
		}
	}
	return nil
}

// maxCommandName is the longest text in quotes, in bytes, that may be a command's name.
const maxCommandName = 32

// refuseScript answers a request with an error if its script names what the pool denies. It
// reports whether it has.
func (s *session) refuseScript(cmd *command.Command, args [][]byte) bool {
	found := s.policy.inScripts.in(scriptOf(cmd, args))
	if found == nil {
		return false
	}
	s.audit(cmd, s.userName(), audit.DeniedCommand)
	refusal := command.AppendForbidden(s.w.scratch[:0], found)
	if s.tx != nil {
		s.refuseQueued(refusal)
	} else {
		s.reply(refusal)
	}
	return true
}
