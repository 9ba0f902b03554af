package hashring

import "iter"

// Points says how much of a ring one server has.
type Points struct {
	Server Server
	Live   bool // on this ring, not taken off by Without

	// Points is how often the server stands on the ring: on ketama's
	// circle, in modula's list (the weight), or of bounded's partitions. Under
	// random it is 1. A server that is not live has none.
	Points int

	// Share is the part of the hash space that leads to the server, from 0 to
	// 1; the sum over a ring is 1. Keys follow it if the hash spreads them
	// evenly over 32 bits, which crc32 and crc16 do not.
	Share float64
}

// Points returns one element for each server, in the order of Config.Servers.
// It is meant for display: it allocates, and walks the whole ring.
func (r *Ring) Points() []Points {
	all := make([]Points, len(r.servers))
	for i, s := range r.servers {
		all[i] = Points{Server: s, Live: r.live[i]}
	}
	whole := 0.0
	add := func(owner, points int, width float64) {
		all[owner].Points += points
		all[owner].Share += width
		whole += width
	}
	switch r.named {
	case ketama:
		circle := r.continuum.circle()
		before := circle[len(circle)-1].value
		for _, p := range circle {
			add(int(p.owner), 1, float64(p.value-before)) // modulo 2^32: the first arc goes over zero
			before = p.value
		}
	case bounded:
		for _, owner := range r.partitions {
			add(int(owner), 1, 1)
		}
	case modula:
		for i, before := 0, uint32(0); i < len(r.weighted.ends); i++ {
			n := r.weighted.ends[i] - before
			add(int(r.weighted.owners[i]), int(n), float64(n))
			before = r.weighted.ends[i]
		}
	case random:
		for _, owner := range r.choices {
			add(int(owner), 1, 1)
		}
	}
	for i := range all {
		all[i].Share /= whole
	}
	return all
}

// Circle yields ketama's points in ascending order, each with the index of the
// server that owns the values from the point before up to this one. Other
// distributions have no circle and yield nothing.
func (r *Ring) Circle() iter.Seq2[uint32, int] {
	return func(yield func(uint32, int) bool) {
		if r.named != ketama {
			return
		}
		for _, p := range r.continuum.circle() {
			if !yield(p.value, int(p.owner)) {
				return
			}
		}
	}
}
