package command

import "time"

// Blocks reports whether a request of c waits at the server until something happens or a
// timeout ends: BLPOP and similar commands always; XREAD, XREADGROUP and TS.READ with the
// option BLOCK; WAIT and WAITAOF always. The server answers nothing behind such a request on
// the same connection. If in doubt it reports true. It does not allocate.
func (c *Command) Blocks(args [][]byte) bool {
	if !c.mayBlock {
		return false
	}
	switch {
	case c.find == findStreams:
		return streamBlocks(args)
	case c.Name == "ts.read":
		return hasOption(args, 3, "block")
	}
	return true
}

// hasOption reports whether an argument from position first on is the option.
func hasOption(args [][]byte, first int, option string) bool {
	for i := first; i < len(args); i++ {
		if equalFold(args[i], option) {
			return true
		}
	}
	return false
}

// streamBlocks reports whether XREAD or XREADGROUP has BLOCK. It skips the values of options
// as streamKeys does: a group may be called "block".
func streamBlocks(args [][]byte) bool {
	for i := 1; i < len(args); i++ {
		switch {
		case equalFold(args[i], "block"):
			return true
		case equalFold(args[i], "streams"):
			return false
		case equalFold(args[i], "count"), equalFold(args[i], "claim"):
			i++
		case equalFold(args[i], "group"):
			i += 2
		}
	}
	return false
}

// BlockingTime returns the position of the argument that says how long a request of c may wait
// at the server, and the unit of that argument. The position is 0 if there is no such
// argument. It does not allocate.
func (c *Command) BlockingTime(args [][]byte) (position int, unit time.Duration) {
	switch c.Name {
	case "blpop", "brpop", "bzpopmin", "bzpopmax", "blmove", "brpoplpush":
		return len(args) - 1, time.Second
	case "blmpop", "bzmpop":
		return 1, time.Second
	case "xread", "xreadgroup":
		return streamBlockAt(args), time.Millisecond
	}
	return 0, 0
}

// streamBlockAt returns the position of the value of BLOCK, 0 if there is none. It skips the
// values of options as streamKeys does: a group may be called "block".
func streamBlockAt(args [][]byte) int {
	for i := 1; i < len(args); i++ {
		switch {
		case equalFold(args[i], "block"):
			if i+1 < len(args) {
				return i + 1
			}
			return 0
		case equalFold(args[i], "streams"):
			return 0
		case equalFold(args[i], "count"), equalFold(args[i], "claim"):
			i++
		case equalFold(args[i], "group"):
			i += 2
		}
	}
	return 0
}
