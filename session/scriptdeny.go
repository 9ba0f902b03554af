package session

import (
	"bytes"
	"strings"

	"ringway/command"
)

// deny_commands can't hold in scripts: what they call is known to their server alone,
// and only the rules of an ACL user bind it (redis_user). But a script that names a
// denied command in quotes, as nearly all do, is refused: that keeps who means no harm
// from it.

// deniedInScripts are the words of the commands that a pool denies, a subcommand's
// behind its container's.
type deniedInScripts []denied

type denied struct {
	cmd   *command.Command
	words []string
}

func newDeniedInScripts(names []string) (d deniedInScripts) {
	for _, name := range names {
		if cmd := command.ByName(name); cmd != nil {
			d = append(d, denied{cmd, strings.Split(name, "|")})
		}
	}
	return d
}

// scriptOf returns the text that a request brings for a server to run, or nil.
func scriptOf(cmd *command.Command, args [][]byte) []byte {
	switch cmd.Name {
	case "eval", "eval_ro":
		return args[1]
	case "script|load", "function|load":
		return args[len(args)-1]
	}
	return nil
}

// bringsScript reports whether scriptOf returns something for requests of a command.
func bringsScript(cmd *command.Command) bool {
	switch cmd.Name {
	case "eval", "eval_ro", "script|load", "function|load":
		return true
	}
	return false
}

// in returns a denied command that a script names, or nil.
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
		rest = rest[1:] // what closes one may open another
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

// maxCommandName is longer than any command's name.
const maxCommandName = 32

// refuseScript answers a request whose script names what the pool denies.
func (s *session) refuseScript(cmd *command.Command, args [][]byte) bool {
	found := s.policy.inScripts.in(scriptOf(cmd, args))
	if found == nil {
		return false
	}
	if s.tx != nil {
		s.tx.failed = true
	}
	s.reply(command.AppendForbidden(s.w.scratch[:0], found))
	return true
}
