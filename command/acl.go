package command

import (
	"bytes"
	"slices"
	"strings"
)

// Access is what a request does with a key, as far as ACL rules know it. Some commands, such as
// EXISTS, need a key and neither of the two.
type Access uint8

// The bits of Access.
const (
	AccessRead  Access = 1 << iota // the request returns or copies data of the key
	AccessWrite                    // it may insert, update or delete data of it
)

// categories are the ACL categories of Redis 7.0 in its order, then those of commands that are newer or
// come from modules.
var categories = []string{
	"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo",
	"stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
}

// Categories returns the names of all ACL categories, without "@", in the order of ACL CAT. The
// caller must not change the slice.
func Categories() []string { return categories }

// InCategory reports whether the command is in an ACL category, given in lower case and without "@".
// Nothing is in the category "all".
func (c *Command) InCategory(name string) bool { return slices.Contains(c.acl, name) }

// initAccess makes what KeyAccess needs, and adds the categories that Redis 7.0 does not have.
func (c *Command) initAccess() {
	for i := range c.specs {
		s := &c.specs[i]
		for _, flag := range s.flags {
			switch flag {
			case "access":
				s.access |= AccessRead
			case "insert", "delete", "update":
				s.access |= AccessWrite
			}
		}
	}
	if len(c.specs) == 0 { // as of learned commands
		c.access = AccessRead
		if !c.IsReadonly() {
			c.access |= AccessWrite
		}
	}
	for _, name := range c.acl {
		if !slices.Contains(categories, name) {
			categories = append(categories, name)
		}
	}
}

// HasKeys reports whether requests of the command may have keys.
func (c *Command) HasKeys() bool { return c.find != findNone }

// KeyAccess returns what a request of c does with the key at a position that Keys returned. It does
// not allocate.
func (c *Command) KeyAccess(args [][]byte, at int) Access {
	switch c.Name {
	case "set":
		if setReturns(args) {
			return AccessRead | AccessWrite
		}
		return AccessWrite
	case "bitfield":
		if bitfieldReads(args) {
			return AccessRead
		}
		return AccessRead | AccessWrite
	}
	for i := range c.specs {
		if c.specs[i].covers(at, len(args)) {
			return c.specs[i].access
		}
	}
	if len(c.specs) > 0 {
		return c.specs[len(c.specs)-1].access
	}
	return c.access
}

// setReturns reports whether a SET has the option GET.
func setReturns(args [][]byte) bool {
	return len(args) > 3 && slices.ContainsFunc(args[3:], func(option []byte) bool { return equalFold(option, "get") })
}

// Channels says which arguments of a request are channels for ACL rules: those from position first up
// to, and without, end. pattern reports that they are patterns. first is 0 if there are none; leaving
// a channel needs no right.
func (c *Command) Channels(args [][]byte) (first, end int, pattern bool) {
	switch c.Name {
	case "subscribe", "ssubscribe":
		return 1, len(args), false
	case "psubscribe":
		return 1, len(args), true
	case "publish", "spublish":
		return 1, min(2, len(args)), false
	}
	return 0, 0, false
}

// SortDenied returns why a user without the right to read all keys may not run a request of SORT or
// SORT_RO: nil if it may, or if the server will refuse the request for another reason, which comes
// first. It reads the options as redis-server 7.0 does.
func (c *Command) SortDenied(args [][]byte) error {
	if c.find != findSort {
		return nil
	}
	for i := 2; i < len(args); i++ {
		switch left := len(args) - i - 1; {
		case equalFold(args[i], "asc"), equalFold(args[i], "desc"), equalFold(args[i], "alpha"):
		case equalFold(args[i], "limit") && left >= 2:
			if !isInt(args[i+1]) || !isInt(args[i+2]) {
				return nil
			}
			i += 2
		case equalFold(args[i], "store") && left >= 1 && !c.IsReadonly():
			i++
		case equalFold(args[i], "by") && left >= 1:
			if i++; bytes.IndexByte(args[i], '*') >= 0 {
				return errSortBy
			}
		case equalFold(args[i], "get") && left >= 1:
			return errSortGet
		default:
			return nil
		}
	}
	return nil
}

// The errors of SORT for users who may not read all keys, in Redis's words.
const (
	errSortBy  ReplyError = "ERR BY option of SORT denied due to insufficient ACL permissions."
	errSortGet ReplyError = "ERR GET option of SORT denied due to insufficient ACL permissions."
)

// LookupName finds the command or subcommand that an ACL rule names, "get" or "config|get", in any case; nil
// if there is none.
func LookupName(name string) *Command {
	container, sub, isSub := strings.Cut(strings.ToLower(name), "|")
	args := [][]byte{[]byte(container), []byte(sub)}
	if !isSub {
		args = args[:1]
	}
	c, problem := Lookup(args)
	if problem != NoProblem || isSub != strings.Contains(c.Name, "|") {
		return nil
	}
	return c
}

// Container returns the command whose subcommand c is; nil if it is none.
func (c *Command) Container() *Command {
	name, _, isSub := strings.Cut(c.Name, "|")
	if !isSub {
		return nil
	}
	return LookupName(name)
}

// IsNamed reports whether a list has the command: its name, its container's, "@" and one of its ACL categories, or "*" for
// all commands. A category, and "*", leave out what every client may do before it has logged in: AUTH, HELLO, QUIT and RESET.
func (c *Command) IsNamed(list []string) bool {
	container, _, _ := strings.Cut(c.Name, "|")
	for _, name := range list {
		category, isCategory := strings.CutPrefix(name, "@")
		switch {
		case name == c.Name, name == container:
			return true
		case c.Flags&FlagNoAuth != 0:
		case name == "*", isCategory && (category == "all" || c.InCategory(category)):
			return true
		}
	}
	return false
}
