// Package command knows what each Redis command needs: how many arguments it
// takes, which of them are keys, whether it reads or writes, where the proxy
// sends it and how the replies of its parts become one.
//
// The facts stand in commands.tsv; go generate turns them into table_gen.go and
// docs/commands.md. At run time the table is read-only, so every function here
// may be called by any goroutine. The package does no I/O, and finding a
// command, checking its arity and finding its keys allocate nothing.
//
// A request is a [][]byte whose first element is the command's name in any
// case. Positions are indexes into that slice. No function keeps a reference to
// a request.
package command

//go:generate go run ./internal/gen

// Route says what the proxy does with a command. The zero value is Refused, so
// a command that the table forgets is refused.
type Route uint8

const (
	Refused      Route = iota // may harm other users of the pool; AppendDenied appends the error
	NotYet                    // not supported yet; AppendDenied appends the error
	Local                     // answered by the proxy without asking a server
	OneShard                  // sent whole to the shard that owns all its keys, or channels; EVAL and the like may have none
	Split                     // cut into one fragment per shard; Join says how their replies are joined
	Transaction               // changes the session's state: MULTI, EXEC, DISCARD, WATCH, UNWATCH
	Dedicated                 // sent to the shard that owns all its keys, over a dedicated connection, since it may block
	AllShards                 // sent whole to every shard; Join says how the replies are joined
	DefaultShard              // sent whole to the pool's default shard
	ScanShards                // SCAN: sent to one shard after the other, as the cursor says
	PubSub                    // subscribes or unsubscribes: over one connection per server that all clients share
)

// String returns the word that docs/commands.md uses.
func (r Route) String() string {
	switch r {
	case Refused:
		return "refused"
	case NotYet:
		return "not yet"
	case Local:
		return "local"
	case OneShard:
		return "one shard"
	case Split:
		return "split"
	case Transaction:
		return "transaction"
	case Dedicated:
		return "dedicated"
	case AllShards:
		return "all shards"
	case DefaultShard:
		return "default shard"
	case ScanShards:
		return "scan"
	case PubSub:
		return "subscriptions"
	}
	return "unknown route"
}

// Join says how replies are joined: those to the fragments of a Split command, or those of the
// shards to an AllShards command.
type Join uint8

const (
	JoinNone  Join = iota // neither Split nor AllShards
	JoinArray             // one element per key, in the order of the request (MGET)
	JoinSum               // the sum of integers (DEL, UNLINK, TOUCH, EXISTS, DBSIZE)
	JoinOK                // +OK when every part said so (MSET, FLUSHALL)

	// Of AllShards alone.
	JoinConcat     // the elements of all arrays (KEYS)
	JoinMin        // the least of integers (LASTSAVE)
	JoinAnd        // arrays of integers, of each element the least (SCRIPT EXISTS)
	JoinFirst      // the first shard's, if none failed (SCRIPT LOAD)
	JoinAny        // that of a shard that did it (SCRIPT KILL)
	JoinRandom     // one that is not null (RANDOMKEY)
	JoinNewest     // the newest entries of all (SLOWLOG GET)
	JoinHistograms // of each command, the calls and buckets of all (LATENCY HISTOGRAM)
	JoinOwner      // of each channel, what its own shard says (PUBSUB NUMSUB)
)

// String returns the word that docs/commands.md uses.
func (j Join) String() string {
	switch j {
	case JoinNone:
		return "none"
	case JoinArray:
		return "array in request order"
	case JoinSum:
		return "sum"
	case JoinOK:
		return "OK when all are"
	case JoinConcat:
		return "all elements"
	case JoinMin:
		return "the least"
	case JoinAnd:
		return "the least of each element"
	case JoinFirst:
		return "the first"
	case JoinAny:
		return "any that succeeded"
	case JoinNewest:
		return "the newest of all"
	case JoinHistograms:
		return "added up"
	case JoinOwner:
		return "each from its shard"
	case JoinRandom:
		return "one at random"
	}
	return "unknown join"
}

// Flags are the properties that Redis gives a command in its COMMAND reply.
type Flags uint32

// The flags, in the order in which COMMAND lists them.
const (
	FlagWrite           Flags = 1 << iota // may modify a key
	FlagReadonly                          // reads keys, never modifies one
	FlagDenyOOM                           // refused by a server that is out of memory
	FlagModule                            // comes from a module
	FlagAdmin                             // administers a server
	FlagPubSub                            // publish and subscribe
	FlagNoScript                          // not allowed in scripts
	FlagBlocking                          // may block its connection
	FlagLoading                           // allowed while a server loads its data
	FlagStale                             // allowed on a replica with stale data
	FlagSkipMonitor                       // not shown by MONITOR
	FlagSkipSlowlog                       // not shown by SLOWLOG
	FlagAsking                            // implies ASKING
	FlagFast                              // constant or logarithmic time
	FlagNoAuth                            // allowed before authentication
	FlagMayReplicate                      // may cause replication though not a write
	FlagNoAsyncLoading                    // not allowed during asynchronous loading
	FlagNoMulti                           // not allowed in a transaction
	FlagMovableKeys                       // first, last and step do not tell where all keys are
	FlagAllowBusy                         // allowed while a script runs too long
	FlagNoMandatoryKeys                   // may have no keys at all
)

// Command is what the table knows about one command or subcommand. A Command is
// never modified and is compared by pointer or by ID.
type Command struct {
	// Name is lower case: "get"; a subcommand is "client|setname".
	Name string
	// ID numbers commands and subcommands together from 0 to Count()-1. It is
	// an index for tables built at start; it changes between versions.
	ID int
	// Arity counts the arguments with the name (and the subcommand's name):
	// exactly Arity if positive, at least -Arity if negative.
	Arity int
	Flags Flags
	// FirstKey, LastKey and Step are Redis's older description of where keys
	// are; LastKey counts from the end if negative. FirstKey is 0 if there are
	// no keys or if they move. Use Keys, or SoleKey.
	FirstKey, LastKey, Step int
	// SoleKey is the position of the key if the command has exactly one in a
	// fixed place, else 0. It saves the call of Keys for most commands; it is
	// below len(args) whenever ArityOK(len(args)).
	SoleKey int
	// Route is Refused for a container that was given no subcommand, but its
	// arity has failed by then.
	Route Route
	Join  Join
	// Guarded says that the command is refused unless the pool's allow_commands names
	// it, since it may harm other users of the pool.
	Guarded bool
	// Reason says in a few words why the route is NotYet or Refused or the command
	// Guarded, else "".
	Reason string
	// Since is the Redis version that brought the command: "2.6.0".
	Since string
	// Group is Redis's documentation group: "string", "sorted-set".
	Group string
	// Subcommands of a container, sorted by name; not to be modified.
	Subcommands []*Command

	acl   []string // categories without "@"
	tips  []string
	specs []keySpec

	access Access // of all keys, if there are no specs

	find    finder
	numkeys numkeysForm // for findNumkeys

	mayBlock, mayReach bool // whether Blocks and Reach must look at the request
	needsMarker        bool
	hasFamily          bool // it has subcommands, or is one
	gathers            bool
	smallReply, mayGet bool // see ReplyIsSmall
}

// ArityOK reports whether a request of n arguments, the command's name
// included, has a permitted length.
func (c *Command) ArityOK(n int) bool {
	if c.Arity >= 0 {
		return n == c.Arity
	}
	return n >= -c.Arity
}

// IsReadonly reports whether the command only reads keys, so that a replica can answer it.
func (c *Command) IsReadonly() bool { return c.Flags&FlagReadonly != 0 }

// IsWrite reports whether the command may modify keys. EVAL and similar commands are neither
// IsWrite nor IsReadonly, and must be treated as writes.
func (c *Command) IsWrite() bool { return c.Flags&FlagWrite != 0 }

// IsBlocking reports whether requests of the command may block their connection. Blocks
// reports whether a given request does.
func (c *Command) IsBlocking() bool { return c.Flags&FlagBlocking != 0 }

// IsContainer reports whether the command only groups subcommands. COMMAND has subcommands but
// is no container: it has a reply of its own.
func (c *Command) IsContainer() bool { return len(c.Subcommands) > 0 && c.Arity == -2 }

// NamedByFirst reports whether the first argument alone identifies the command. For a
// subcommand, or a command that has subcommands, the second one counts, too.
func (c *Command) NamedByFirst() bool { return !c.hasFamily }

// IsScript reports whether the command runs a script or function: EVAL, EVALSHA,
// FCALL and their read-only forms.
func (c *Command) IsScript() bool { return c.isScript() }

// Gathers reports whether a request whose keys are on several shards can be answered by
// fetching the data of each: the operations on sets and sorted sets that only read, and XREAD.
func (c *Command) Gathers() bool { return c.gathers }

// NeedsMarker reports whether a server runs or reads code of the client's for the
// command, so that the reply may contain whatever the client likes, even the
// beginning of another reply. A marker behind the request shows where the reply
// ends (see pipeline.Conn.SendMarked).
func (c *Command) NeedsMarker() bool { return c.needsMarker }

// Servable reports whether the proxy can serve the command at all; the pool's configuration
// may still refuse it. For a container it is false.
func (c *Command) Servable() bool { return c.Route != NotYet && c.Route != Refused }

// Accepted reports whether a pool without allow_commands and deny_commands serves the command,
// or for a container one of its subcommands.
func (c *Command) Accepted() bool {
	if c.Servable() && !c.Guarded {
		return true
	}
	for _, sub := range c.Subcommands {
		if sub.Accepted() {
			return true
		}
	}
	return false
}

// Count returns the number of commands and subcommands: every ID is below it.
func Count() int { return len(table) }

// ByID returns the command with the given ID. It panics if there is none.
func ByID(id int) *Command { return &table[id] }

// ByName returns the command or subcommand ("client|setname") with the given
// lower-case name, or nil. It is for tables built at start, not for requests:
// it looks at every command.
func ByName(name string) *Command {
	for i := range table {
		if table[i].Name == name {
			return &table[i]
		}
	}
	return nil
}
