package topology

import (
	"slices"
	"sync"

	"ringway/pool"
)

// contact is what others may ask of a follower of shards, and tell it, from any
// goroutine.
type contact struct {
	doubts chan doubt

	mu        sync.Mutex // guards primaries
	primaries []string   // by shard, "" for none
}

// doubt is what the data path suspects: that addr is a shard's primary no longer.
type doubt struct {
	shard int
	addr  string
}

func newContact(shards int) contact {
	return contact{doubts: make(chan doubt, 16), primaries: make([]string, shards)}
}

// suspect is follower's.
func (c *contact) suspect(shard int, addr string, _ pool.Suspicion) {
	if shard < 0 || shard >= len(c.primaries) {
		return
	}
	select {
	case c.doubts <- doubt{shard, addr}:
	default: // there are doubts enough
	}
}

// servers is follower's.
func (c *contact) servers() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.primaries), func(addr string) bool { return addr == "" })
}

// setPrimary notes whom a shard follows now.
func (c *contact) setPrimary(shard int, addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.primaries[shard] = addr
}
