package command

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"ringway/resp"
)

// The errors of COMMAND, in Redis's words.
const (
	errInvalidCommand   ReplyError = "ERR Invalid command specified"
	errNoKeyArguments   ReplyError = "ERR The command has no key arguments"
	errInvalidNumber    ReplyError = "ERR Invalid number of arguments specified for command"
	errInvalidArguments ReplyError = "ERR Invalid arguments specified for command"
	errSyntaxReply      ReplyError = "ERR syntax error"

	// Not Redis's: each name may cost kilobytes of reply, and there is no use in
	// asking for more names than there are commands.
	errTooManyNames ReplyError = "ERR too many command names"
)

// AppendTableReply appends the reply to a request of c that the table alone can
// answer: COMMAND with its subcommands, and the HELP of a container. It reports
// whether c is such a command; if not, dst comes back as it was. The request
// must have passed Lookup and ArityOK.
//
// COMMAND, COUNT, LIST, INFO and DOCS know only commands that are permitted, and
// containers of such, so that a client which asks first sees what it can use.
// GETKEYS and GETKEYSANDFLAGS know every command of the table.
func AppendTableReply(dst []byte, c *Command, args [][]byte, protocol resp.Protocol, permitted func(*Command) bool) ([]byte, bool) {
	r := &replyBuilder{b: dst, protocol: protocol, permitted: permitted}
	switch c.Name {
	case "command":
		r.infoOfAll()
	case "command|count":
		r.integer(len(r.accepted()))
	case "command|list":
		r.list(args[2:])
	case "command|info":
		r.info(args[2:])
	case "command|docs":
		r.docs(args[2:])
	case "command|getkeys":
		r.getKeys(args[2:], false)
	case "command|getkeysandflags":
		r.getKeys(args[2:], true)
	default:
		container, ok := strings.CutSuffix(c.Name, "|help")
		if !ok {
			return dst, false
		}
		r.help(container)
	}
	return r.b, true
}

// accepts reports whether the pool serves a command, or for a container one of its
// subcommands.
func (r *replyBuilder) accepts(c *Command) bool {
	return c.Servable() && r.permitted(c) || slices.ContainsFunc(c.Subcommands, r.accepts)
}

// accepted returns the top-level commands that are served.
func (r *replyBuilder) accepted() []*Command {
	all := make([]*Command, 0, len(table))
	for i := range table {
		if c := &table[i]; !strings.Contains(c.Name, "|") && r.accepts(c) {
			all = append(all, c)
		}
	}
	return all
}

// acceptedSubcommands returns the subcommands of c that are served.
func (r *replyBuilder) acceptedSubcommands(c *Command) []*Command {
	var subs []*Command
	for _, sub := range c.Subcommands {
		if r.accepts(sub) {
			subs = append(subs, sub)
		}
	}
	return subs
}

// named returns the served command or subcommand ("client|setname", in any
// case) that COMMAND INFO and DOCS are asked for, or nil.
func (r *replyBuilder) lookup(name []byte) *Command {
	container, sub, isSub := bytes.Cut(name, []byte("|"))
	request := [2][]byte{container, sub}
	args := request[:1]
	if isSub {
		args = request[:2]
	}
	c, problem := Lookup(args)
	if problem != NoProblem || len(c.Name) != len(name) || !r.accepts(c) {
		return nil // the length tells "get|x" from "get"
	}
	return c
}

// list answers COMMAND LIST [FILTERBY MODULE|ACLCAT|PATTERN word]. It
// names subcommands too, as Redis does.
func (r *replyBuilder) list(args [][]byte) {
	if len(args) != 0 && (len(args) != 3 || !equalFold(args[0], "filterby")) {
		r.replyError(errSyntaxReply)
		return
	}
	match := func(*Command) bool { return true }
	if len(args) == 3 {
		word := strings.ToLower(string(args[2]))
		switch {
		case equalFold(args[1], "module"):
			match = func(*Command) bool { return false } // the proxy has no modules
		case equalFold(args[1], "aclcat"):
			match = func(c *Command) bool { return slices.Contains(c.acl, word) }
		case equalFold(args[1], "pattern"):
			match = func(c *Command) bool {
				ok, err := path.Match(word, c.Name)
				return ok && err == nil
			}
		default:
			r.replyError(errSyntaxReply)
			return
		}
	}
	var names []string
	for i := range table {
		if c := &table[i]; r.accepts(c) && match(c) {
			names = append(names, c.Name)
		}
	}
	r.array(len(names))
	for _, name := range names {
		r.bulk(name)
	}
}

// getKeys answers COMMAND GETKEYS and GETKEYSANDFLAGS for the request args.
func (r *replyBuilder) getKeys(args [][]byte, withFlags bool) {
	c, problem := Lookup(args)
	switch {
	case problem != NoProblem:
		r.replyError(errInvalidCommand)
		return
	case c.find == findNone:
		r.replyError(errNoKeyArguments)
		return
	case !c.ArityOK(len(args)):
		r.replyError(errInvalidNumber)
		return
	}
	keys, err := c.Keys(args, nil)
	if err != nil {
		r.replyError(errInvalidArguments)
		return
	}
	r.array(len(keys))
	for _, at := range keys {
		if !withFlags {
			r.bulkBytes(args[at])
			continue
		}
		r.array(2)
		r.bulkBytes(args[at])
		r.simples(c.keyFlags(args, at))
	}
}

func (r *replyBuilder) simples(words []string) {
	r.set(len(words))
	for _, w := range words {
		r.simple(w)
	}
}

// keyFlags says what a request of c does with the key at a position that Keys
// returned.
func (c *Command) keyFlags(args [][]byte, at int) []string {
	switch c.Name {
	case "set":
		if setReturns(args) {
			return []string{"RW", "access", "update"}
		}
		return []string{"OW", "update"}
	case "bitfield":
		if bitfieldReads(args) {
			return []string{"RO", "access"}
		}
		return []string{"RW", "access", "update"}
	}
	for i := range c.specs {
		if c.specs[i].covers(at, len(args)) {
			return c.specs[i].flags
		}
	}
	// What a keyword names. "incomplete" is about the search, not about a key.
	flags := c.specs[len(c.specs)-1].flags
	if last := len(flags) - 1; flags[last] == "incomplete" {
		flags = flags[:last]
	}
	return flags
}

// bitfieldReads reports whether every operation of a BITFIELD is a GET.
func bitfieldReads(args [][]byte) bool {
	for i := 2; i < len(args); i++ {
		switch {
		case equalFold(args[i], "get") && len(args)-i > 2:
			i += 2
		case equalFold(args[i], "overflow") && len(args)-i > 1:
			i++
		default:
			return false
		}
	}
	return true
}

// help answers the HELP subcommand of a container.
func (r *replyBuilder) help(container string) {
	var subs []*Command
	for _, sub := range ByName(container).Subcommands {
		if sub.Servable() {
			subs = append(subs, sub)
		}
	}
	r.array(1 + len(subs))
	r.simple("This proxy serves these subcommands of " + strings.ToUpper(container) + ":")
	for _, sub := range subs {
		_, name, _ := strings.Cut(sub.Name, "|")
		r.simple(strings.ToUpper(name))
	}
}
