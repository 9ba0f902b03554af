package pool

import (
	"sync/atomic"
	"time"
)

// The control plane (package topology) tells a pool who its primaries are where these are
// found out rather than written down: Pool.SetView, SetReplicas, SetCluster, Hold,
// HoldReplies, GiveUpReplies and Release. Any goroutine may call these. They return at once,
// and the loops follow through their mailboxes. The pool reports what the data path notices
// to its Watcher.

// ControlPanics counts the panics of the control plane's goroutines, over all pools. The
// process goes on after each.
var ControlPanics atomic.Int64

// Member is one server of a shard.
type Member struct {
	Addr    string        // "host:port" as the proxy reaches it, the address map applied
	Zone    string        // its availability zone, "" if that is not known
	Latency time.Duration // of its last answers to PING, smoothed; 0 if it is not known
}

// View is who serves a shard.
type View struct {
	// Primary takes the writes. With an empty address no primary is known: requests
	// wait for one, for failover_wait at most.
	Primary Member
	// Replicas are those that may be read: loaded, connected to the primary and not too
	// far behind.
	Replicas []Member
	// Refuse, if not empty, is the error ("ERR …", without "-") that writes get at once
	// because it is not certain who is primary.
	Refuse string
}

// SlotRange is the hash slots of a Redis Cluster from First to Last, both included.
type SlotRange struct{ First, Last uint16 }

// ClusterShard is a primary of a Redis Cluster with its replicas.
type ClusterShard struct {
	View
	ID    string // the primary's node ID
	Slots []SlotRange
}

// Suspicion is why the data path suspects that a primary has changed.
type Suspicion uint8

// The suspicions.
const (
	LostPrimary    Suspicion = iota // a connection to it failed, or could not be made
	DemotedPrimary                  // it answered -READONLY
	MovedSlot                       // a server of a Cluster answered -MOVED or -CLUSTERDOWN
	LoadingServer                   // a server of a pool with auto_eject_hosts answered -LOADING
)
