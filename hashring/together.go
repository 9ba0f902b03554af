package hashring

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Together is a group of keys that belong together although they carry no hash
// tag. They are the keys that match one of its patterns, as ParsePattern
// describes them.
//
// All of them have one owner, that of a key which is Name; or, with Name "", each
// has the owner of a key which is what its pattern captures. So keys of several
// groups belong together if the names or the captured bytes are equal.
type Together struct {
	Name     string   // "" for patterns that capture
	Patterns []string // at least one
}

// A Pattern describes keys by a literal beginning and what follows it.
type Pattern struct {
	text     string
	name     []byte   // what is hashed; nil if the pattern captures
	segments [][]byte // what stands before, between and behind the stars: one more than there are stars

	// What is captured begins and ends this many bytes behind the beginning of a
	// segment.
	open, shut cut
}

// cut is a place between two bytes of a pattern.
type cut struct {
	segment int
	offset  int
}

// maxStars is how many stars a pattern may have. It bounds the work for a key.
const maxStars = 4

// ParsePattern reads a pattern: text in which `*` stands for any bytes, perhaps
// none, and at most one pair of parentheses around a part with a star. A
// backslash makes the byte behind it stand for itself; the bytes *()?[]\ and an
// @ at the beginning need one.
//
// A star stands for as few bytes as possible, except at the end of the pattern.
// Of bull:emails:7:logs, bull:(*):* captures emails. A key of which the
// parentheses would capture nothing does not match.
func ParsePattern(text string) (*Pattern, error) {
	if strings.HasPrefix(text, "@") {
		return nil, fmt.Errorf(`%q names no pattern; want \@ for keys that begin with that byte`, text)
	}
	r := patternReader{p: &Pattern{text: text}}
	for i := 0; i < len(text); i++ {
		var err error
		switch c := text[i]; c {
		case '*':
			err = r.star()
		case '(':
			err = r.openParenthesis()
		case ')':
			err = r.closeParenthesis()
		case '?', '[', ']':
			err = fmt.Errorf(`%c has no meaning here, only * has; want \%c for the byte itself`, c, c)
		case '\\':
			if i++; i == len(text) {
				return nil, errors.New(`a \ at the end; want \\ for the byte itself`)
			}
			if strings.IndexByte(`*()?[]\@`, text[i]) < 0 {
				err = fmt.Errorf(`\%c has no meaning; want \\ for the byte \ itself`, text[i])
			}
			r.segment = append(r.segment, text[i])
		default:
			r.segment = append(r.segment, c)
		}
		if err != nil {
			return nil, err
		}
	}
	return r.end()
}

// patternReader reads a pattern.
type patternReader struct {
	p       *Pattern
	segment []byte // what has come behind the last star
	opened  bool   // a parenthesis, which may be closed again
	closed  bool
}

func (r *patternReader) here() cut { return cut{len(r.p.segments), len(r.segment)} }

func (r *patternReader) star() error {
	stars := len(r.p.segments)
	switch {
	case len(r.segment) == 0 && stars > 0:
		return errors.New("two * with nothing between them; want one")
	case stars == maxStars:
		return fmt.Errorf("more than %d times *", maxStars)
	}
	r.p.segments, r.segment = append(r.p.segments, r.segment), nil
	return nil
}

func (r *patternReader) openParenthesis() error {
	if r.opened {
		return errors.New("two pairs of parentheses; want one at most, around what keys that belong together have in common")
	}
	r.opened, r.p.open = true, r.here()
	return nil
}

func (r *patternReader) closeParenthesis() error {
	switch {
	case !r.opened || r.closed:
		return errors.New(`a ) without a (; want \) for the byte itself`)
	case r.p.open.segment == len(r.p.segments):
		return errors.New("parentheses without a * in them; want them around what differs, as in bull:(*):*")
	}
	r.closed, r.p.shut = true, r.here()
	return nil
}

// end returns the pattern, when its text is read.
func (r *patternReader) end() (*Pattern, error) {
	p := r.p
	p.segments = append(p.segments, r.segment)
	switch {
	case r.opened && !r.closed:
		return nil, errors.New(`a ( without a ); want \( for the byte itself`)
	case p.text == "":
		return nil, errors.New("is empty; want a pattern of keys, such as rq:*")
	case len(bytes.Join(p.segments, nil)) == 0:
		return nil, errors.New("matches every key; want the beginning of keys that belong together before the *, such as rq:*")
	}
	return p, nil
}

// Captures reports whether the pattern has parentheses.
func (p *Pattern) Captures() bool { return p.open != p.shut }

// String returns the pattern's text.
func (p *Pattern) String() string { return p.text }

// beginning returns what all keys that match begin with.
func (p *Pattern) beginning() []byte { return p.segments[0] }

// match returns the part of key that is hashed if key matches, which begins as the
// pattern does. The result shares memory of key or of the pattern.
func (p *Pattern) match(key []byte) (part []byte, ok bool) {
	last := len(p.segments) - 1
	suffix := p.segments[last]
	switch {
	case last == 0:
		return p.name, len(key) == len(suffix)
	case last == 1 && len(suffix) == 0 && p.name != nil:
		return p.name, true
	}
	var starts [maxStars + 1]int // of the segments
	end := len(p.segments[0])
	for i := 1; i < last; i++ {
		n := bytes.Index(key[end:], p.segments[i])
		if n < 0 {
			return nil, false
		}
		starts[i] = end + n
		end += n + len(p.segments[i])
	}
	starts[last] = len(key) - len(suffix)
	switch {
	case starts[last] < end || !bytes.HasSuffix(key, suffix):
		return nil, false
	case p.name != nil:
		return p.name, true
	}
	part = key[starts[p.open.segment]+p.open.offset : starts[p.shut.segment]+p.shut.offset]
	return part, len(part) > 0
}

// together finds the pattern of a key. It is a trie of what the patterns begin
// with.
type together struct {
	root trieNode       // its patterns are those that begin with a star
	next [256]*trieNode // root.next by their first bytes
}

// trieNode stands for a beginning of keys.
type trieNode struct {
	label    []byte      // its bytes behind those of the node before
	first    []byte      // the first byte of each label in next
	next     []*trieNode // longer beginnings
	patterns []*Pattern  // those that have this beginning, in the order of the configuration
	before   *trieNode   // the longest shorter beginning that has patterns, or nil
}

// newTogether returns nil if there are no groups.
func newTogether(groups []Together) (*together, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	t := &together{}
	for _, g := range groups {
		for _, text := range g.Patterns {
			p, err := ParsePattern(text)
			switch {
			case err != nil:
				return nil, fmt.Errorf("together %s: %w", strconv.Quote(text), err)
			case p.Captures() != (g.Name == ""):
				return nil, fmt.Errorf("together %s: want either a name or parentheses", strconv.Quote(text))
			case !p.Captures():
				p.name = []byte(g.Name)
			}
			t.add(p)
		}
	}
	for i, first := range t.root.first {
		t.next[first] = t.root.next[i]
	}
	t.root.link(nil)
	return t, nil
}

// add puts a pattern into the trie.
func (t *together) add(p *Pattern) {
	n, rest := &t.root, p.beginning()
	for len(rest) > 0 {
		i := bytes.IndexByte(n.first, rest[0])
		if i < 0 {
			n.first, n.next = append(n.first, rest[0]), append(n.next, &trieNode{label: rest})
			i = len(n.next) - 1
		}
		child := n.next[i]
		common := commonLen(child.label, rest)
		if common < len(child.label) { // cut the label in two
			longer := *child
			longer.label = child.label[common:]
			*child = trieNode{label: child.label[:common], first: []byte{longer.label[0]}, next: []*trieNode{&longer}}
		}
		n, rest = child, rest[common:]
	}
	n.patterns = append(n.patterns, p)
}

// commonLen returns the length of the longest beginning that a and b have in common.
func commonLen(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// link sets before in a node and all below.
func (n *trieNode) link(before *trieNode) {
	n.before = before
	if n.patterns != nil {
		before = n
	}
	for _, child := range n.next {
		child.link(before)
	}
}

// find returns the pattern of a key and the part of the key that is hashed; nil if
// no pattern matches.
func (t *together) find(key []byte) (p *Pattern, part []byte) {
	for n := t.longest(key); n != nil; n = n.before {
		for _, p := range n.patterns {
			if part, ok := p.match(key); ok {
				return p, part
			}
		}
	}
	return nil, nil
}

// part returns what is hashed in place of key: key itself if no pattern matches.
func (t *together) part(key []byte) []byte {
	if p, part := t.find(key); p != nil {
		return part
	}
	return key
}

// longest returns the node of the longest beginning of key that has patterns, or nil.
func (t *together) longest(key []byte) *trieNode {
	found := t.root.self()
	if len(key) == 0 {
		return found
	}
	for n := t.next[key[0]]; n != nil && bytes.HasPrefix(key, n.label); {
		if n.patterns != nil {
			found = n
		}
		key = key[len(n.label):]
		n = n.child(key)
	}
	return found
}

// child returns the node that may have the next beginning of a key of which rest is left.
func (n *trieNode) child(rest []byte) *trieNode {
	if len(rest) > 0 {
		for i, c := range n.first {
			if c == rest[0] {
				return n.next[i]
			}
		}
	}
	return nil
}

// self returns n if it has patterns, else nil.
func (n *trieNode) self() *trieNode {
	if n.patterns == nil {
		return nil
	}
	return n
}

// ofPrefix returns the pattern of all keys that begin with prefix; nil if none of these
// keys matches any pattern. sure is false if they may differ.
func (t *together) ofPrefix(prefix []byte) (p *Pattern, sure bool) {
	n, found, rest := &t.root, t.root.self(), prefix
	for len(rest) > 0 {
		child := n.child(rest)
		if child == nil {
			break
		}
		if !bytes.HasPrefix(rest, child.label) {
			if bytes.HasPrefix(child.label, rest) {
				return nil, false // some of the keys begin as a pattern does
			}
			break
		}
		n, rest = child, rest[len(child.label):]
		if n.patterns != nil {
			found = n
		}
	}
	switch {
	case len(rest) == 0 && len(n.next) > 0:
		return nil, false
	case found == nil:
		return nil, true
	}
	// Of the patterns with that beginning the first that matches counts.
	p = found.patterns[0]
	return p, p.decides(prefix)
}

// decides reports whether every key that begins with prefix matches the pattern and has
// the part that prefix has. That is so if only the star at the end is left for what follows.
func (p *Pattern) decides(prefix []byte) bool {
	last := len(p.segments) - 1
	if len(p.segments[last]) > 0 || p.shut.segment == last {
		return false
	}
	_, matches := p.match(prefix)
	return matches
}
