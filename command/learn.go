package command

import (
	"slices"
	"strings"
)

// Learn returns a command that the table does not have, such as a module's, made from what a
// server's COMMAND says: its name, arity and flags; its ACL categories ("@admin"), with the
// flags and categories of its subcommands; and the positions of its first and last key and the
// step between keys. It returns nil if the table has the command.
//
// The command is Guarded if it, or a subcommand, administers a server or is dangerous, or if
// it is said neither to read nor to write data: then it may do anything. If COMMAND does not
// say where its keys are, Keys returns an error. Its ID is -1.
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
	c.initAccess()
	return c
}

// normalFlag returns a flag of COMMAND as flagWords has it.
func normalFlag(flag string) string { return strings.ToLower(strings.ReplaceAll(flag, "-", "_")) }

// isDangerous reports whether a category or flag marks commands for those who run the servers.
func isDangerous(mark string) bool {
	switch strings.TrimPrefix(normalFlag(mark), "@") {
	case "admin", "dangerous", "pubsub":
		return true
	}
	return false
}

// KeysKnown reports whether it is known where the keys of a request are.
func (c *Command) KeysKnown() bool { return c.find != findUnknown }

// errUnknownKeys returns the error of a request whose key positions are unknown.
func (c *Command) errUnknownKeys() error {
	return ReplyError("ERR where the keys of '" + c.Name + "' are is not known: not supported by a sharded pool")
}
