package command

// Reach says what a request may access besides the keys that Keys returns.
type Reach uint8

const (
	ReachKeys     Reach = iota // nothing else
	ReachPatterns              // keys made from patterns (SORT BY, GET), which SortPatterns has
	ReachDatabase              // another database (MOVE, COPY DB), which Database names
	ReachScript                // undeclared keys of a script, which can't be checked
)

// Reach returns what a request of c may access besides its keys. It does not allocate.
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

// Database returns the argument of MOVE, or of COPY with DB, that names another database, nil
// if there is none.
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

// isScript reports whether c runs a script or function.
func (c *Command) isScript() bool {
	return c.find == findNumkeys && (c.numkeys.words == numkeysScript || c.numkeys.words == numkeysFunction)
}

// initReach sets the fields by which Blocks, Reach, Gathers and NeedsMarker answer most
// requests at once.
func (c *Command) initReach() {
	c.mayBlock = c.IsBlocking() || c.Name == "ts.read"
	c.mayReach = c.find == findSort || c.isScript() || c.Name == "copy" || c.Name == "move"
	if c.mayReach {
		c.SoleKey = 0 // SoleKey promises that nothing else is accessed
	}
	switch c.Name {
	case "sunion", "sinter", "sdiff", "sintercard", "zunion", "zinter", "zdiff", "zintercard", "xread":
		c.gathers = true
	}
	switch c.Name {
	case "script|load", "function|load", "function|restore":
		c.needsMarker = true
	default:
		c.needsMarker = c.isScript()
	}
}

// sortReach finds a BY or GET pattern of SORT that names keys.
func sortReach(args [][]byte) Reach {
	if !SortPatterns(args, func(_, _ []byte) bool { return false }) {
		return ReachPatterns
	}
	return ReachKeys
}
