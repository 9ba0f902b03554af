package topology

import (
	"slices"
	"sync"

	"ringway/pool"
)

// sharedState is the part of a replicated or Sentinel follower that other goroutines may use:
// event loops report suspicions, and version learning asks for the primaries. Followers embed
// it.
type sharedState struct {
	suspects chan suspectedPrimary // to the follower's goroutine

	mu        sync.Mutex // guards primaries
	primaries []string   // by shard; "" for none
}

// suspectedPrimary is what the data path suspects: that addr is no longer the shard's primary.
type suspectedPrimary struct {
	shard int
	addr  string
}

func newSharedState(shards int) sharedState {
	return sharedState{suspects: make(chan suspectedPrimary, 16), primaries: make([]string, shards)}
}

// suspect implements follower. Suspicions that find the channel full are dropped: the servers
// are about to be asked anyway.
func (s *sharedState) suspect(shard int, addr string, _ pool.Suspicion) {
	if shard < 0 || shard >= len(s.primaries) {
		return
	}
	select {
	case s.suspects <- suspectedPrimary{shard, addr}:
	default: // the servers are asked for the others already
	}
}

// servers implements follower: it returns the current primaries.
func (s *sharedState) servers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.primaries), func(addr string) bool { return addr == "" })
}

// setPrimary records whom a shard follows now.
func (s *sharedState) setPrimary(shard int, addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.primaries[shard] = addr
}
