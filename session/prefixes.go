package session

import (
	"math/rand/v2"

	"ringway/resp"
)

// prefixes are those that a loop's clients of CLIENT TRACKING BCAST have named. All that
// a key begins with are found in one walk over the key, however many there are.
type prefixes struct {
	seed    uint64
	byHash  map[uint64][]*prefix
	lengths []int // by length, how many prefixes have it
	touched []*prefix
}

// prefix is one that clients have named.
type prefix struct {
	text    string
	clients map[*tracking]struct{}

	// Of the invalidation that is being told.
	keys  []byte // bulk strings
	count int
}

func newPrefixes() *prefixes { return &prefixes{seed: rand.Uint64(), byHash: map[uint64][]*prefix{}} }

// hashOn is the step of FNV-1a: the hash of what was hashed and one byte more.
func hashOn(h uint64, c byte) uint64 { return (h ^ uint64(c)) * 1099511628211 }

func (ps *prefixes) hash(text string) uint64 {
	h := ps.seed
	for i := range len(text) {
		h = hashOn(h, text[i])
	}
	return h
}

// add has a client told of keys with a prefix.
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

// remove ends add.
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

// each calls fn for all prefixes of a key.
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
		h = hashOn(h, key[n])
	}
}

// invalidated tells clients of keys, an array of bulk strings.
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
			t.push(payload)
		}
	}
	clear(ps.touched)
	ps.touched = ps.touched[:0]
}
