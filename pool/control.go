package pool

import (
	"sync/atomic"
	"time"
)

// What the control plane (package topology) tells a pool whose primaries are
// found out rather than written down, and what it is told in turn. All methods
// may be called from any goroutine and return at once: the loops follow through
// their mailboxes.

// ControlPanics counts the faults of the control plane's own goroutines, which it
// has survived, over all pools.
var ControlPanics atomic.Int64

// Member is one server of a shard.
type Member struct {
	Addr    string        // "host:port" as the proxy reaches it, the address map applied
	Zone    string        // where it stands, "" if that is not known
	Latency time.Duration // of its last answers to PING, smoothed; 0 if it is not known
}

// View is what is known of a shard.
type View struct {
	// Primary takes the writes. With no address, none is known: requests wait,
	// for failover_wait at most.
	Primary Member
	// Replicas are those that are fit to be read: loaded, connected to the
	// primary, not too far behind.
	Replicas []Member
	// Refuse, if not empty, is the error ("ERR …", without "-") that writes get
	// at once, since it is not certain who is primary.
	Refuse string
}

// SlotRange is the hash slots of a Redis Cluster from First to Last, both
// included.
type SlotRange struct{ First, Last uint16 }

// ClusterShard is a primary of a Redis Cluster with its replicas.
type ClusterShard struct {
	View
	ID    string // the primary's node ID
	Slots []SlotRange
}

// Suspicion says what makes the data path doubt who is primary.
type Suspicion uint8

// The suspicions.
const (
	LostPrimary    Suspicion = iota // a connection to it failed, or could not be made
	DemotedPrimary                  // it answered -READONLY
	MovedSlot                       // a server of a Cluster answered -MOVED or -CLUSTERDOWN
	LoadingServer                   // a server of a pool with auto_eject_hosts answered -LOADING
)
