package pubsub

// matcher matches names with patterns until its work is done: a pattern and a name can
// be such that it takes as many steps as the product of their lengths.
type matcher struct {
	work int // steps left
}

// matches reports whether a channel's name matches a pattern of PSUBSCRIBE: ?
// is any byte, * any bytes, [a-c] and [^a-c] one of a set, and \ takes the next
// byte as it is. It is false if that would take more steps than are left.
func (m *matcher) matches(pattern, s string) bool {
	// Where to go on if what follows the last * does not match.
	star, from := -1, 0
	p, i := 0, 0
	for i < len(s) {
		if m.work--; m.work < 0 {
			return false
		}
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p, i
			p++
			continue
		}
		if n := m.matchOne(pattern[p:], s[i]); n > 0 {
			p += n
			i++
			continue
		}
		if star < 0 {
			return false
		}
		from++
		p, i = star+1, from
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches one byte with what a pattern begins with, which is no *. It
// returns how much of the pattern that takes, or 0 if it does not match.
func (m *matcher) matchOne(pattern string, c byte) int {
	switch {
	case pattern == "":
		return 0
	case pattern[0] == '?':
		return 1
	case pattern[0] == '[':
		return m.matchSet(pattern, c)
	case pattern[0] == '\\' && len(pattern) > 1:
		if pattern[1] == c {
			return 2
		}
		return 0
	case pattern[0] == c:
		return 1
	}
	return 0
}

// matchSet is matchOne for a set. One that is not closed goes to the pattern's end.
func (m *matcher) matchSet(pattern string, c byte) int {
	i, not := 1, false
	if i < len(pattern) && pattern[i] == '^' {
		not = true
		i++
	}
	found := false
	for ; i < len(pattern) && pattern[i] != ']'; i++ {
		low := pattern[i]
		switch {
		case low == '\\' && i+1 < len(pattern):
			i++
			found = found || pattern[i] == c
		case i+2 < len(pattern) && pattern[i+1] == '-':
			high := pattern[i+2]
			i += 2
			found = found || min(low, high) <= c && c <= max(low, high)
		default:
			found = found || low == c
		}
	}
	m.work -= i
	if found == not {
		return 0
	}
	return min(i+1, len(pattern))
}
