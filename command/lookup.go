package command

import "encoding/binary"

// Problem says why Lookup found no command to run.
type Problem uint8

const (
	NoProblem         Problem = iota // the command was found; its arity is not checked yet
	UnknownCommand                   // AppendUnknown appends the error
	UnknownSubcommand                // AppendUnknownSubcommand appends the error
)

// nameKey identifies a name without regard to case: names of up to 8 bytes by
// head and size, names of up to 16 bytes by all three.
type nameKey struct {
	head uint64 // first 8 bytes, upper case; two overlapping halves below 8 bytes
	tail uint64 // last 8 bytes, upper case; 0 up to 8 bytes
	size int
}

type nameEntry struct {
	nameKey
	command *Command // nil if the entry is free
}

const (
	nameBits = 11 // 2048 entries for some 460 names: most are found at once
	nameMask = 1<<nameBits - 1
	nameMul  = 0x9e3779b97f4a7c15 // 2^64 / golden ratio: Knuth's multiplicative hashing
)

// nameTable holds the top-level names, open addressing with linear probing.
var nameTable [1 << nameBits]nameEntry

func init() {
	// table_gen.go lists subcommands right behind their container.
	var parent *Command
	for i := range table {
		c := &table[i]
		c.ID = i
		c.initReach()
		c.initAccess()
		if parent != nil && len(c.Name) > len(parent.Name) && c.Name[len(parent.Name)] == '|' && c.Name[:len(parent.Name)] == parent.Name {
			parent.Subcommands = append(parent.Subcommands, c)
			parent.hasFamily, c.hasFamily = true, true
			continue
		}
		parent = c
		k := keyOfName([]byte(c.Name))
		at := k.slot()
		for nameTable[at].command != nil {
			at = (at + 1) & nameMask
		}
		nameTable[at] = nameEntry{k, c}
	}
	initReplySizes()
}

// upper8 turns the letters among 8 ASCII bytes into upper case at once, leaving
// every other byte as it is.
func upper8(w uint64) uint64 {
	const ones = 0x0101010101010101
	low := w & (0x7f * ones)
	fromA := low + (0x80-'a')*ones                  // high bit set where low >= 'a'
	aboveZ := low + (0x7f-'z')*ones                 // high bit set where low > 'z'
	letter := (fromA ^ aboveZ) &^ w & (0x80 * ones) // not where the byte itself is above 0x7f
	return w ^ letter>>2
}

func keyOfName(name []byte) nameKey {
	n := len(name)
	k := nameKey{size: n}
	switch {
	case n >= 8:
		k.head = upper8(binary.LittleEndian.Uint64(name))
		if n > 8 {
			k.tail = upper8(binary.LittleEndian.Uint64(name[n-8:]))
		}
	case n >= 4:
		k.head = upper8(uint64(binary.LittleEndian.Uint32(name)) | uint64(binary.LittleEndian.Uint32(name[n-4:]))<<32)
	case n == 3:
		k.head = upper8(uint64(name[0]) | uint64(name[1])<<8 | uint64(name[2])<<16)
	case n > 0:
		k.head = upper8(uint64(name[0]) | uint64(name[n-1])<<8)
	}
	return k
}

func (k nameKey) slot() uint64 {
	return (k.head ^ k.tail<<1 ^ uint64(k.size)) * nameMul >> (64 - nameBits)
}

// Lookup finds the command that a request names, without regard to case, and
// its subcommand if the command is a container. With UnknownSubcommand it
// returns the container, with UnknownCommand nil. A container without a
// subcommand is returned itself, and its arity does not fit. An empty request
// is an UnknownCommand. It does not allocate.
func Lookup(args [][]byte) (*Command, Problem) {
	if len(args) == 0 {
		return nil, UnknownCommand
	}
	k := keyOfName(args[0])
	for at := k.slot(); ; at = (at + 1) & nameMask {
		e := &nameTable[at]
		if e.head == k.head && e.tail == k.tail && e.size == k.size && e.command != nil {
			if k.size > 16 && !equalFold(args[0], e.command.Name) {
				continue
			}
			if e.command.Subcommands == nil || len(args) == 1 {
				return e.command, NoProblem
			}
			return e.command.subcommand(args[1])
		}
		if e.command == nil {
			return nil, UnknownCommand
		}
	}
}

func (c *Command) subcommand(name []byte) (*Command, Problem) {
	prefix := len(c.Name) + 1
	for _, sub := range c.Subcommands {
		if len(sub.Name) == prefix+len(name) && equalFold(name, sub.Name[prefix:]) {
			return sub, NoProblem
		}
	}
	return c, UnknownSubcommand
}

// equalFold reports whether b equals s without regard to the case of ASCII letters; s is in
// lower case. Redis compares bytes, so there is no Unicode folding.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != s[i] {
			return false
		}
	}
	return true
}
