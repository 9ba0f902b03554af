package session

import (
	"math/rand/v2"

	"ringway/resp"
)

// prefixes is the prefixes that the clients of a tracker have named in CLIENT TRACKING BCAST.
// It finds all prefixes of a key in one walk over the key, however many there are: it hashes
// the key byte by byte, and looks the hash up at each length that a prefix has.
type prefixes struct {
	seed    uint64               // of the hash, so that nobody can choose prefixes that collide
	byHash  map[uint64][]*prefix // those with one hash, one unless they collide
	lengths []int                // by length: how many prefixes have it
	touched []*prefix            // scratch of invalidated
}

// prefix is a prefix, and the clients that have named it.
type prefix struct {
	text    string
	clients map[*tracking]struct{}

	// Scratch of prefixes.invalidated: the keys that have changed and begin with it.
	keys  []byte // bulk strings
	count int    // of keys
}

// newPrefixes returns an empty set of prefixes.
func newPrefixes() *prefixes { return &prefixes{seed: rand.Uint64(), byHash: map[uint64][]*prefix{}} }

// fnvStep is the step of FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/): it returns the
// hash of what h is the hash of, followed by c.
func fnvStep(h uint64, c byte) uint64 { return (h ^ uint64(c)) * 1099511628211 }

func (ps *prefixes) hash(text string) uint64 {
	h := ps.seed
	for i := range len(text) {
		h = fnvStep(h, text[i])
	}
	return h
}

// add has invalidations of keys that begin with text sent to a client.
func (ps *prefixes) add(t *tracking, text string) {
	h := ps.hash(text)
	for _, p := range ps.byHash[h] {
		if p.text == text {
			p.clients[t] = struct{}{}
			return
		}
	}
	for len(ps.lengths) <= len(text) {
		ps.lengths = append(ps.lengths, 0)
	}
	ps.lengths[len(text)]++
	ps.byHash[h] = append(ps.byHash[h], &prefix{text: text, clients: map[*tracking]struct{}{t: {}}})
}

// remove undoes add. The client must have named text.
func (ps *prefixes) remove(t *tracking, text string) {
	h := ps.hash(text)
	same := ps.byHash[h]
	for i, p := range same {
		if p.text != text {
			continue
		}
		if delete(p.clients, t); len(p.clients) > 0 {
			return
		}
		ps.lengths[len(text)]--
		if same[i] = same[len(same)-1]; len(same) > 1 {
			ps.byHash[h] = same[:len(same)-1]
		} else {
			delete(ps.byHash, h)
		}
		for last := len(ps.lengths) - 1; last >= 0 && ps.lengths[last] == 0; last-- {
			ps.lengths = ps.lengths[:last]
		}
		return
	}
}

// each calls fn with each prefix of a key.
func (ps *prefixes) each(key []byte, fn func(*prefix)) {
	h := ps.seed
	for n, count := range ps.lengths {
		if count > 0 {
			for _, p := range ps.byHash[h] {
				if p.text == string(key[:n]) {
					fn(p)
				}
			}
		}
		if n == len(key) {
			return
		}
		h = fnvStep(h, key[n])
	}
}

// invalidated sends invalidations of keys, an array of bulk strings. A client gets one for
// each of its prefixes, as from Redis.
func (ps *prefixes) invalidated(keys []byte) {
	if len(ps.byHash) == 0 {
		return
	}
	for r, _ := resp.ReadArray(keys); r.Len() > 0; {
		element, _ := r.Next()
		key, _ := resp.Bulk(element)
		ps.each(key, func(p *prefix) {
			if p.count == 0 {
				ps.touched = append(ps.touched, p)
			}
			p.keys = append(p.keys, element...)
			p.count++
		})
	}
	for _, p := range ps.touched {
		payload := append(resp.AppendArray(nil, p.count), p.keys...)
		p.keys, p.count = nil, 0
		for t := range p.clients {
			t.invalidate(payload)
		}
	}
	clear(ps.touched)
	ps.touched = ps.touched[:0]
}
