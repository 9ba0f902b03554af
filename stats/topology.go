package stats

// Topology counts what one loop sees of a pool whose primaries may change, and of reads that are sent
// twice.
type Topology struct {
	Redirections [Redirections]uint64 // refusals of servers that were not the client's reply, by the reason
	Resent       uint64               // requests sent after a refusal, or after they had waited for a primary
	Held         Histogram            // how long new requests of a shard waited here, each time that they did
	Hedges       uint64               // reads sent to a second server, after hedge_after
	HedgesWon    uint64               // of these, those that the second server has answered first
}

// Redirection is why a server has refused a request that another one may execute, or the same one later.
type Redirection uint8

// The reasons, and how they are called everywhere: the codes of Redis in lower case.
const (
	RedirectedMoved Redirection = iota
	RedirectedAsk
	RedirectedTryAgain
	RedirectedClusterDown
	RedirectedReadOnly
	RedirectedLoading
	RedirectedMasterDown
	Redirections = int(iota)
)

var redirections = [Redirections]string{"moved", "ask", "tryagain", "clusterdown", "readonly", "loading", "masterdown"}

// String returns the reason as metrics show it.
func (r Redirection) String() string { return redirections[r] }

// Merge adds what other has counted.
func (t *Topology) Merge(other *Topology) {
	addAll(t.Redirections[:], other.Redirections[:])
	t.Resent += other.Resent
	t.Held.Merge(&other.Held)
	t.Hedges += other.Hedges
	t.HedgesWon += other.HedgesWon
}
