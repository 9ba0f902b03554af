package command

import "time"

// BlockingTime returns the position of the argument that says how long a request
// of c may wait at the server, and the unit which that argument counts in. The
// position is 0 if the request has no such argument. It does not allocate.
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

// streamBlockAt returns the position of the value of BLOCK, 0 if there is none.
// It steps over option values as streamKeys does: a group may be called "block".
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
