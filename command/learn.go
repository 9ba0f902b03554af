package command

import "strings"

// Learn returns a command that the table does not have, such as a module's, from
// what a server's COMMAND says of it: its name, arity, flags, and where its first
// and last key and those between them are. It returns nil if there is nothing to
// learn, since the table has it, or if it administers a server.
//
// If its keys can't be told from that, Keys has an error. The ID is of no use.
func Learn(name string, arity int, flags []string, first, last, step int) *Command {
	name = strings.ToLower(name)
	if _, problem := Lookup([][]byte{[]byte(name)}); problem != UnknownCommand {
		return nil
	}
	c := &Command{
		Name: name, ID: -1, Arity: arity, FirstKey: first, LastKey: last, Step: step,
		Route: OneShard, find: findRange, needsFence: true,
	}
	for i, word := range flagWords {
		for _, f := range flags {
			if strings.EqualFold(strings.ReplaceAll(f, "-", "_"), word) {
				c.Flags |= 1 << i
			}
		}
	}
	if c.Flags&(FlagAdmin|FlagPubSub) != 0 || arity == 0 {
		return nil
	}
	if c.Flags&FlagMovableKeys != 0 || first < 1 || step < 1 || last >= 0 && last < first {
		c.find = findUnknown
	}
	c.mayBlock = c.IsBlocking()
	return c
}

// errUnknownKeys is the error of a request whose keys nobody knows.
func (c *Command) errUnknownKeys() error {
	return ReplyError("ERR where the keys of '" + c.Name + "' are is not known: not supported by a sharded pool")
}
