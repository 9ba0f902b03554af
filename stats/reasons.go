package stats

// CloseReason is why a client's connection was closed.
type CloseReason uint8

// The reasons, and how they are called everywhere.
const (
	ClosedByClient   CloseReason = iota // the client ended it, or it broke
	ClosedQuit                          // QUIT
	ClosedIdle                          // client_idle_timeout
	ClosedOutput                        // its replies or messages exceeded their bound
	ClosedMemory                        // max_memory
	ClosedKilled                        // CLIENT KILL, or the console
	ClosedProtocol                      // it broke the protocol
	ClosedMissedData                    // messages for it were lost, or a reply under way broke off
	ClosedDrain                         // the proxy ends
	ClosedBug                           // a panic, or a reply that no request awaits
	ClosedLimit                         // its user has as many clients as it may
	CloseReasons     = int(iota)
)

var closeReasons = [CloseReasons]string{"client", "quit", "idle", "output_limit", "memory", "killed", "protocol", "missed_data", "drain", "bug", "limit"}

// String returns the reason as metrics, console and page show it.
func (r CloseReason) String() string { return closeReasons[r] }

// Failure is why no server has answered a request.
type Failure uint8

// The reasons, and how they are called everywhere.
const (
	FailedRefused   Failure = iota // no connection: the request was not sent
	FailedDown                     // the server is known to be down: the request was not sent
	FailedTimeout                  // no reply within timeout
	FailedLost                     // the connection was lost with the request sent
	FailedProtocol                 // the server broke the protocol
	FailedHandshake                // the server refused AUTH, HELLO or SELECT
	FailedOther
	Failures = int(iota)
)

var failures = [Failures]string{"refused", "down", "timeout", "lost", "protocol", "handshake", "other"}

// String returns the reason as metrics, console and page show it.
func (f Failure) String() string { return failures[f] }

// ErrorCodes is how many kinds of error replies are told apart.
const ErrorCodes = 32

// errorCodes are the codes that Redis, its Sentinels and Clusters, and Ringway use; the last
// stands for all others.
var errorCodes = [ErrorCodes]string{
	"ERR", "WRONGTYPE", "MOVED", "ASK", "CROSSSLOT", "TRYAGAIN", "CLUSTERDOWN", "NOSCRIPT", "BUSY", "LOADING", "MASTERDOWN", "READONLY",
	"NOREPLICAS", "OOM", "MISCONF", "EXECABORT", "NOAUTH", "WRONGPASS", "NOPERM", "DENIED", "NOPROTO", "BUSYKEY", "BUSYGROUP", "NOGROUP",
	"UNKILLABLE", "NOTBUSY", "UNBLOCKED", "INPROG", "NOGOODSLAVE", "UNSTABLE", "NOMASTERLINK", "other",
}

// ErrorCode returns the number of an error reply's code: the word behind the minus sign. reply is
// the beginning of the reply.
func ErrorCode(reply []byte) int {
	end := 1
	for end < len(reply) && (reply[end] >= 'A' && reply[end] <= 'Z') {
		end++
	}
	if end > len(reply) {
		return ErrorCodes - 1
	}
	word := reply[1:end]
	for i, code := range errorCodes[:ErrorCodes-1] {
		if string(word) == code {
			return i
		}
	}
	return ErrorCodes - 1
}

// ErrorCodeName returns the code with a number, in upper case; "other" for those that are not told
// apart.
func ErrorCodeName(number int) string { return errorCodes[number] }
