package pool

import "ringway/pipeline"

// EjectByHand takes a server of a static pool down until RestoreByHand: that it answers probes does
// not bring it back. It reports false if the pool has no server of that name. Any goroutine may call
// it.
func (p *Pool) EjectByHand(name string) bool {
	s := p.serverByName(name)
	if s == nil {
		return false
	}
	s.byHand.Store(true)
	p.takeDown(s, pipeline.ErrEjected)
	return true
}

// RestoreByHand puts a server back to work, without probing it first. It reports false if the pool has
// no server of that name. Any goroutine may call it.
func (p *Pool) RestoreByHand(name string) bool {
	s := p.serverByName(name)
	if s == nil {
		return false
	}
	s.byHand.Store(false)
	p.Restore(s.index)
	return true
}

// serverByName returns a server of a static pool; nil if there is none of that name.
func (p *Pool) serverByName(name string) *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, shard := range p.order {
		if s := p.shards[shard].serving.primary; s.name == name {
			return s
		}
	}
	return nil
}
