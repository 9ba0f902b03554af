package resp

// Limits bounds what a client may send. All fields must be positive; start
// from DefaultLimits. A Limits may be shared by any number of clients and
// goroutines while nobody changes it.
type Limits struct {
	// MaxBulk is the longest argument in bytes (Redis: proto-max-bulk-len).
	MaxBulk int64
	// MaxArgs is the largest number of arguments, the command's name included.
	MaxArgs int
	// MaxRequest is the longest request in bytes, framing included. It must
	// fit an int.
	MaxRequest int64
	// MaxInline is the longest inline request, and the longest line that
	// announces a length, in bytes.
	MaxInline int

	// unauthenticated selects the error texts for clients that have yet to
	// authenticate.
	unauthenticated bool
}

// DefaultLimits are Redis's: arguments of 512 MiB, 2^31-1 arguments, 1 GiB a
// request (Redis: client-query-buffer-limit), lines of 64 KiB. Not to be
// changed; copy it.
var DefaultLimits = Limits{
	MaxBulk:    512 << 20,
	MaxArgs:    1<<31 - 1,
	MaxRequest: 1 << 30,
	MaxInline:  64 << 10,
}

// UnauthenticatedLimits are for a client that has to authenticate and has not:
// 10 arguments of 16 KiB, as in Redis. Not to be changed.
var UnauthenticatedLimits = Limits{
	MaxBulk:         16 << 10,
	MaxArgs:         10,
	MaxRequest:      10*(16<<10+len16K) + len10,
	MaxInline:       64 << 10,
	unauthenticated: true,
}

// Framing bytes of the largest unauthenticated request.
const (
	len16K = int64(len("$16384\r\n") + len("\r\n"))
	len10  = int64(len("*10\r\n"))
)

// badCount returns the error for a request of n arguments, which is more than
// lim allows.
func (lim *Limits) badCount(n int64) error {
	if lim.unauthenticated && n <= int64(DefaultLimits.MaxArgs) {
		return errUnauthCount
	}
	return errCount
}

// badBulk returns the error for an argument of n bytes, which is more than lim
// allows.
func (lim *Limits) badBulk(n int64) error {
	if lim.unauthenticated && n <= DefaultLimits.MaxBulk {
		return errUnauthBulk
	}
	return errBulk
}

// ReplyLimits bounds what a server may send. All fields must be positive;
// start from DefaultReplyLimits. A ReplyLimits may be shared by any number of
// connections and goroutines while nobody changes it.
type ReplyLimits struct {
	// MaxDepth is how many aggregates may be open within each other.
	MaxDepth int
	// MaxBulk is the longest bulk payload in bytes; for a streamed string,
	// of all its chunks together.
	MaxBulk int64
	// MaxElements is how many elements the aggregates of one reply may have in
	// total. A map of n pairs has 2n.
	MaxElements int64
	// MaxLine is the longest line of text (a simple string, an error or a big
	// number) in bytes.
	MaxLine int
	// RESP2 refuses the types that only RESP3 has.
	RESP2 bool
}

// DefaultReplyLimits let through whatever a Redis with default settings can be
// made to say, because a reply beyond a limit costs all users of a shared
// connection. None of them is an amount of memory: Scan streams bulks and
// lines, and keeps 16 bytes for every level of depth. A Lua script can nest
// its reply 7,995 deep. Not to be changed; copy it.
var DefaultReplyLimits = ReplyLimits{
	MaxDepth:    8192,
	MaxBulk:     1 << 30,
	MaxElements: 1 << 32,
	MaxLine:     512 << 20,
}
