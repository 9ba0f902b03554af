package pool

import "slices"

// Reached reports whether the pool could serve clients: a server has told its version, and, where
// primaries are found out, all shards have one. Any goroutine may call it.
func (p *Pool) Reached() bool {
	if p.version.Load() == nil {
		return false
	}
	if !p.follows {
		return true
	}
	states := p.ShardStates()
	return len(states) > 0 && !slices.ContainsFunc(states, func(s ShardState) bool { return s.Primary == "" })
}
