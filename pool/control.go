package pool

import "time"

// What the control plane (package topology) tells a pool whose primaries are
// found out rather than written down, and what it is told in turn. All methods
// may be called from any goroutine and return at once: the loops follow through
// their mailboxes.

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
)

// SetView tells who serves a shard. The control plane has made sure of it: the
// primary said so itself, and nobody newer is known. Where the primary changes,
// requests that were written to the old one may still be answered by it, no
// further one is written to it, and those not yet written go to the new one. It
// also ends Hold.
func (p *Pool) SetView(shard int, v View) {}

// SetReplicas changes which replicas of a shard may be read, and no more.
func (p *Pool) SetReplicas(shard int, replicas []Member) {}

// Hold has new writes to a shard wait until SetView or Unhold, and for
// failover_wait at most, after which they go where they went before. It is for
// the time in which a primary is about to be replaced and still takes writes
// that will be lost.
func (p *Pool) Hold(shard int) {}

// Unhold ends Hold and leaves everything as it was: the failover was called off.
func (p *Pool) Unhold(shard int) {}

// SetCluster tells a pool of topology "cluster" all primaries of the Cluster and
// which slots each of them serves, in any order: a primary is known by its ID.
// Slots that nobody serves stay with whom they were.
func (p *Pool) SetCluster(shards []ClusterShard) {}
