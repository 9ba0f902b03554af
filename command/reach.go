package command

// Blocks reports whether a request of c waits at the server until something
// happens or a timeout ends: BLPOP and its like always, XREAD, XREADGROUP and
// TS.READ with their BLOCK option, WAIT and WAITAOF always. Behind such a
// request nothing else on its connection is answered. In doubt it says true. It
// does not allocate.
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

// hasOption reports whether an option stands anywhere from position first on.
func hasOption(args [][]byte, first int, option string) bool {
	for i := first; i < len(args); i++ {
		if equalFold(args[i], option) {
			return true
		}
	}
	return false
}

// streamBlocks steps over option values as streamKeys does: a group may be
// called "block".
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

// Reach says what a request can touch beside the keys that Keys returns.
type Reach uint8

const (
	ReachKeys     Reach = iota // nothing else
	ReachPatterns              // keys made from patterns (SORT BY, GET): right only if the pool has one shard
	ReachDatabase              // another database (MOVE, COPY DB), which Database names
	ReachScript                // whatever a script does with undeclared keys; nobody can check
)

// Reach returns what a request of c can touch beside its keys. It does not
// allocate.
func (c *Command) Reach(args [][]byte) Reach {
	if !c.mayReach {
		return ReachKeys
	}
	switch {
	case c.find == findSort:
		return sortReach(args)
	case c.isScript():
		return ReachScript
	case c.Database(args) != nil:
		return ReachDatabase
	}
	return ReachKeys
}

// Database returns the argument of MOVE and of COPY DB that names another
// database, or nil.
func (c *Command) Database(args [][]byte) []byte {
	switch c.Name {
	case "move":
		if len(args) == 3 {
			return args[2]
		}
	case "copy":
		for i := 3; i+1 < len(args); i++ {
			if equalFold(args[i], "db") {
				return args[i+1]
			}
		}
	}
	return nil
}

// isScript reports whether c runs a script or function by its keys.
func (c *Command) isScript() bool {
	return c.find == findNumkeys && (c.numkeys.words == numkeysScript || c.numkeys.words == numkeysFunction)
}

// noteReach sets what lets Blocks and Reach answer at once for most commands.
func (c *Command) initReach() {
	c.mayBlock = c.IsBlocking() || c.Name == "ts.read"
	c.mayReach = c.find == findSort || c.isScript() || c.Name == "copy" || c.Name == "move"
	if c.mayReach {
		c.SoleKey = 0 // the key is not all that counts
	}
	switch c.Name {
	case "sunion", "sinter", "sdiff", "sintercard", "zunion", "zinter", "zdiff", "zintercard":
		c.gathers = true
	}
	switch c.Name {
	case "script|load", "function|load", "function|restore":
		c.needsMarker = true
	default:
		c.needsMarker = c.isScript()
	}
}

// sortReach finds a BY pattern with a "*" (without one it only turns sorting
// off) or a GET pattern other than "#", the element itself.
func sortReach(args [][]byte) Reach {
	for i := 2; i+1 < len(args); i++ {
		switch {
		case equalFold(args[i], "limit"):
			i += 2
		case equalFold(args[i], "store"):
			i++
		case equalFold(args[i], "by"):
			i++
			for _, b := range args[i] {
				if b == '*' {
					return ReachPatterns
				}
			}
		case equalFold(args[i], "get"):
			if i++; string(args[i]) != "#" {
				return ReachPatterns
			}
		}
	}
	return ReachKeys
}
