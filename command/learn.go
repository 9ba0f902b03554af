package command

import (
	"slices"
	"strings"
)

// Learn returns a command that the table does not have, such as a module's, from
// what a server's COMMAND says of it: its name, arity, flags, its ACL categories
// ("@admin") with the flags and categories of its subcommands, and where its first
// and last key and those between them are. It returns nil if there is nothing to
// learn, since the table has it.
//
// It is Guarded if it, or a subcommand, administers a server or is dangerous, and if
// nothing says that it reads or writes data: what is not known may do anything. If
// its keys can't be told from what COMMAND says, Keys has an error. The ID is of no
// use.
func Learn(name string, arity int, flags, marks []string, first, last, step int) *Command {
	name = strings.ToLower(name)
	if _, problem := Lookup([][]byte{[]byte(name)}); problem != UnknownCommand || arity == 0 {
		return nil
	}
	c := &Command{
		Name: name, ID: -1, Arity: arity, FirstKey: first, LastKey: last, Step: step,
		Route: OneShard, find: findRange, needsMarker: true,
	}
	for i, word := range flagWords {
		for _, f := range flags {
			if normalFlag(f) == word {
				c.Flags |= 1 << i
			}
		}
	}
	switch {
	case c.Flags&(FlagAdmin|FlagPubSub) != 0, slices.ContainsFunc(marks, isDangerous):
		c.Guarded, c.Reason = true, "its servers call it, or a subcommand of it, administration or dangerous"
	case c.Flags&(FlagReadonly|FlagWrite) == 0:
		c.Guarded, c.Reason = true, "its servers do not say that it only reads or writes data"
	}
	if c.Flags&FlagMovableKeys != 0 || first < 1 || step < 1 || last >= 0 && last < first {
		c.find = findUnknown
	}
	c.mayBlock = c.IsBlocking()
	return c
}

// spell returns a flag of COMMAND as flagWords have it.
func normalFlag(flag string) string { return strings.ToLower(strings.ReplaceAll(flag, "-", "_")) }

// isDangerous reports whether a category or a flag is that of what only those may use
// who run the servers.
func isDangerous(mark string) bool {
	switch strings.TrimPrefix(normalFlag(mark), "@") {
	case "admin", "dangerous", "pubsub":
		return true
	}
	return false
}

// errUnknownKeys is the error of a request whose keys nobody knows.
func (c *Command) errUnknownKeys() error {
	return ReplyError("ERR where the keys of '" + c.Name + "' are is not known: not supported by a sharded pool")
}
