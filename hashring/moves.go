package hashring

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Moved says which keys have another owner on a newer ring of a pool. Owners are compared by their
// names.
type Moved struct {
	Part  float64 // of all keys, 0 to 1
	Pairs []Move  // from which server to which, the largest first; their Parts sum to Part

	// Sampled is the number of keys that were looked at. It is 0 if Part is exact: computed from the
	// hash values that lead to each server, over which the hash spreads the keys of most applications.
	Sampled int

	// Besides names kinds of keys that may move too, by rules that differ between the rings. How many
	// such keys there are only the servers know.
	Besides []string

	// All says why every key may have another owner, whichever that is; "" if that is not so. There
	// are no Pairs then.
	All string

	// Random reports that keys have no place on either ring: their distribution is random. There are
	// no Pairs then.
	Random bool
}

// Move is the part of a pool's keys that goes from one server to another.
type Move struct {
	From, To string
	Part     float64 // of all keys, 0 to 1
}

// Any reports whether any key may have another owner.
func (m *Moved) Any() bool { return m.Part > 0 || len(m.Besides) > 0 || m.All != "" }

// shownPairs is how many pairs String names.
const shownPairs = 4

// String returns the moves in a few words, such as
//
//	12.4 % of keys (alpha1 -> alpha4: 3.1 %, alpha2 -> alpha4: 3.0 %)
func (m *Moved) String() string {
	switch {
	case m.All != "":
		return "all keys (" + m.All + ")"
	case m.Part == 0 && len(m.Besides) == 0:
		return "no keys"
	}
	var pairs, all []string
	for _, p := range m.Pairs[:min(shownPairs, len(m.Pairs))] {
		pairs = append(pairs, p.String())
	}
	if more := len(m.Pairs) - shownPairs; more > 0 {
		pairs = append(pairs, fmt.Sprintf("and %d more pairs of servers", more))
	}
	if pairs != nil {
		all = append(all, fmt.Sprintf("%s of keys (%s)", Percent(m.Part), strings.Join(pairs, ", ")))
	}
	for _, what := range m.Besides {
		all = append(all, "keys "+what)
	}
	return strings.Join(all, ", and ")
}

// String returns the move as "alpha1 -> alpha4: 3.1 %".
func (m Move) String() string { return fmt.Sprintf("%s -> %s: %s", m.From, m.To, Percent(m.Part)) }

// Percent returns a part of 1 as "12.4 %". Only what is 0 or 1 is shown as "0 %" or "100 %".
func Percent(part float64) string {
	switch text := fmt.Sprintf("%.1f %%", 100*part); {
	case part == 0:
		return "0 %"
	case part == 1:
		return "100 %"
	case text == "0.0 %":
		return "less than 0.1 %"
	case text == "100.0 %":
		return "more than 99.9 %"
	default:
		return text
	}
}

// rule is what makes a hash value of a key.
type rule struct {
	hash     string
	unsigned bool
	tag      string
	together string // Config.Together as text
}

func ruleOf(cfg Config) rule {
	return rule{cfg.Hash, cfg.UnsignedChar, cfg.HashTag, fmt.Sprintf("%q", cfg.Together)}
}

// Moves compares two rings of a pool. It is for operators: it may look at many keys, and takes some
// ten milliseconds then. The result is the caller's.
func Moves(was, now *Ring) *Moved {
	m := &Moved{}
	switch {
	case was.how == random && now.how == random:
		return &Moved{Random: true}
	case was.how == random || now.how == random:
		return &Moved{All: "the distribution random has no place for a key"}
	}
	parts := map[Move]float64{} // by From and To
	add := func(from, to int, part float64) {
		if names := (Move{From: was.servers[from].Name, To: now.servers[to].Name}); names.From != names.To {
			parts[names] += part
		}
	}
	switch spread := was.spreads() && now.spreads(); {
	case spread && was.how == single:
		for i, p := range now.Points() {
			add(0, i, p.Share)
		}
	case spread && now.how == single:
		for i, p := range was.Points() {
			add(i, 0, p.Share)
		}
	case spread && was.rule == now.rule && was.how == ketama && now.how == ketama:
		bothCircles(&was.continuum, &now.continuum, add)
	case was.rule == now.rule && was.how == bounded && now.how == bounded:
		for i := range was.partitions {
			add(int(was.partitions[i]), int(now.partitions[i]), 1./boundedPartitions)
		}
	default:
		m.Sampled = sampleKeys
		sample(func(key []byte) { add(was.Index(key), now.Index(key), 1./sampleKeys) })
	}
	for names, part := range parts {
		if part > 0 {
			names.Part = wholeIfNear(part)
			m.Pairs = append(m.Pairs, names)
		}
	}
	slices.SortFunc(m.Pairs, func(a, b Move) int {
		return cmp.Or(cmp.Compare(b.Part, a.Part), Compare(a.From, b.From), Compare(a.To, b.To))
	})
	for _, p := range m.Pairs {
		m.Part += p.Part
	}
	m.Part = wholeIfNear(m.Part)
	if was.how != single && now.how != single {
		m.Besides = besides(was, now)
	}
	return m
}

// wholeIfNear returns 1 for a sum of parts that is 1 but for rounding.
func wholeIfNear(part float64) float64 {
	if part > 1-1e-9 {
		return 1
	}
	return part
}

// spreads reports whether the parts of the ring are those of the keys. Under ketama, which divides
// by the high bits, that is not so for hashes without any.
func (r *Ring) spreads() bool {
	return r.how == single || r.named != ketama || Warn(r.rule.hash, distributionNames[r.named]) == ""
}

// bothCircles calls add with the part of all hash values that each pair of owners has.
func bothCircles(was, now *continuum, add func(from, to int, part float64)) {
	i, j := 0, 0
	for low := uint64(0); low <= math.MaxUint32; {
		for uint64(was.points[i].value) < low {
			i++
		}
		for uint64(now.points[j].value) < low {
			j++
		}
		end := uint64(min(was.points[i].value, now.points[j].value)) + 1
		add(int(was.points[i].owner), int(now.points[j].owner), float64(end-low)/(1<<32))
		low = end
	}
}

// sampleKeys is how many keys sample has. A part of a tenth is then right within 0.3 % of all keys.
const sampleKeys = 100_000

// sample calls look with keys of the forms that applications use, always the same ones. The key is
// valid during the call.
func sample(look func(key []byte)) {
	var key []byte
	state := uint64(1)
	for i := range sampleKeys {
		key = key[:0]
		switch i % 4 {
		case 0:
			key = fmt.Appendf(key, "user:%d", i/4)
		case 1:
			key = fmt.Appendf(key, "cache:product:%08d:price", i/4)
		default: // a random number, as in identifiers of sessions
			state = state*6364136223846793005 + 1442695040888963407
			digits := fmt.Appendf(nil, "%08d", state>>32)
			key = hex.AppendEncode(append(key, "session:"...), digits)
		}
		look(key)
	}
}

// besides returns the kinds of keys that the rings may place by different rules, although they place
// most keys by the same one.
func besides(was, now *Ring) (kinds []string) {
	if was.rule.hash == now.rule.hash && was.rule.unsigned != now.rule.unsigned && !sameHash(was, now) {
		kinds = append(kinds, "with bytes from 0x80 on (hash_signed_char)")
	}
	if was.rule.tag != now.rule.tag {
		kinds = append(kinds, "with a hash tag (hash_tag)")
	}
	if was.rule.together != now.rule.together {
		kinds = append(kinds, "that match a pattern (together)")
	}
	return kinds
}

// sameHash reports whether two hashes agree on keys with bytes from 0x80 on.
func sameHash(a, b *Ring) bool {
	for i := range 100 {
		if key := fmt.Appendf(nil, "\xe9t\xe9:%d\xff", i); a.hash(key) != b.hash(key) {
			return false
		}
	}
	return true
}
