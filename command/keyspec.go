package command

// keySpec is one key specification of Redis 7: where a search for keys begins
// and how it goes on. COMMAND INFO shows it; Keys has compiled forms.
type keySpec struct {
	flags   []string // "RO", "access"
	access  Access   // what of flags counts for ACL rules
	keyword string   // begin search at this word, from position index on
	index   int      // begin search at this position
	begin   specBegin
	find    specFind
	// Range: last key (negative: from the end), step, and limit (2: the first
	// half). Count: position of the count and of the first key, both from the
	// beginning of the search, and step.
	a, b, c int
}

type specBegin uint8

const (
	beginIndex specBegin = iota
	beginKeyword
	beginUnknown
)

type specFind uint8

const (
	specRange specFind = iota
	specKeynum
	specUnknown
)

// covers reports whether the specification finds a key at position at in a
// request of n arguments, given that a key is there. Searches for a keyword
// cover nothing: they are whatever is left.
func (s *keySpec) covers(at, n int) bool {
	switch {
	case s.begin != beginIndex:
		return false
	case s.find == specKeynum:
		return at > s.index
	case s.find != specRange:
		return false
	}
	last := n + s.a
	if s.a >= 0 {
		last = s.index + s.a
	}
	return at >= s.index && at <= last && (at-s.index)%s.b == 0
}
