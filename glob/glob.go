// Package glob matches names with the patterns of Redis: those of PSUBSCRIBE, and of keys and channels in
// ACL rules. It matches bytes, does no I/O and allocates nothing; any goroutine may call its functions.
package glob

// Matcher matches names with patterns within a bounded number of steps: matching may take
// as many as the product of the lengths of pattern and name.
type Matcher struct {
	Work int // steps left; Matches counts them down, below 0 in the end
}

// Matches reports whether a name matches a pattern: ? is any
// byte, * any bytes, [a-c] and [^a-c] one byte of a set, and \ takes the next byte
// literally. It is false if matching takes more steps than are left. The rules are
// stringmatchlen's (util.c of Redis 7.0).
func Matches[S string | []byte](m *Matcher, pattern string, s S) bool {
	// Where to go on if what follows the last * does not match.
	star, from := -1, 0
	p, i := 0, 0
	for i < len(s) {
		if m.Work--; m.Work < 0 {
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

// matchOne matches one byte with the beginning of a pattern, which is no *. It returns
// how many bytes of the pattern that takes, or 0 if it does not match.
func (m *Matcher) matchOne(pattern string, c byte) int {
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

// matchSet is matchOne for a set. A set without ] extends to the pattern's end.
func (m *Matcher) matchSet(pattern string, c byte) int {
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
	m.Work -= i
	if found == not {
		return 0
	}
	return min(i+1, len(pattern))
}
