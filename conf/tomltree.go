package conf

import (
	"strings"

	"github.com/BurntSushi/toml"
)

// node is the place of one value in a TOML text, and the nodes of its entries or
// elements if it is a table or an array. The values themselves come from the TOML
// library, which does not report their places.
type node struct {
	key        int // offset of the name; of a table, in its first header
	start, end int // offsets of the value; of a table with a header, those of the header

	names []string // of a table's entries, in the order of the text
	table map[string]*node
	elems []*node // of an array
}

// entry returns the entry of a table. If it is new, its offset is at.
func (n *node) entry(name string, at int) *node {
	if e := n.table[name]; e != nil {
		return e
	}
	e := &node{key: at, start: at, end: at}
	if n.table == nil {
		n.table = map[string]*node{}
	}
	n.table[name] = e
	n.names = append(n.names, name)
	return e
}

// last returns the table to which keys under n belong: the last element of an array
// of tables, else n itself.
func (n *node) last() *node {
	if len(n.elems) > 0 {
		return n.elems[len(n.elems)-1]
	}
	return n
}

// scanner finds the places of values in a text that the TOML library has accepted, so
// it checks nothing. For any other text it returns some tree, without reading out of
// bounds or looping.
type scanner struct {
	text     string
	pos      int
	comments []*node
}

// parseTree returns the root table of a text that the TOML library accepted.
func parseTree(text string) *node { return (&scanner{text: text}).tree() }

// tree returns the root table.
func (s *scanner) tree() *node {
	root := &node{}
	table := root
	for {
		s.skip(" \t\r\n", true)
		switch {
		case s.pos == len(s.text):
			return root
		case s.text[s.pos] == '[':
			table = s.header(root)
		default:
			s.keyValue(table)
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the table that it opens.
func (s *scanner) header(root *node) *node {
	start := s.pos
	s.pos++
	array := s.at('[')
	if array {
		s.pos++
	}
	n := s.keyPath(root)
	s.skip(" \t", false)
	s.skip("]", false)
	if array {
		n.elems = append(n.elems, &node{key: start, start: start, end: s.pos})
	}
	if n.end == n.key { // not made by an earlier header
		n.start, n.end = start, s.pos
	}
	return n.last()
}

// keyValue reads one `key = value` into table.
func (s *scanner) keyValue(table *node) {
	n := s.keyPath(table)
	s.skip(" \t=", false)
	s.value(n)
}

// keyPath reads a key, dotted or not, and returns its node under n.
func (s *scanner) keyPath(n *node) *node {
	for {
		s.skip(" \t", false)
		at := s.pos
		n = n.last().entry(s.keyPart(), at)
		s.skip(" \t", false)
		if !s.at('.') {
			return n
		}
		s.pos++
	}
}

// keyPart reads one bare or quoted part of a key.
func (s *scanner) keyPart() string {
	start := s.pos
	if !s.at('"') && !s.at('\'') {
		s.until(" \t\r\n.=]")
		return s.text[start:s.pos]
	}
	s.quoted()
	raw := s.text[start:s.pos]
	var unquoted struct{ Key string }
	if _, err := toml.Decode("Key = "+raw, &unquoted); err != nil {
		return raw
	}
	return unquoted.Key
}

// value reads one value into n.
func (s *scanner) value(n *node) {
	n.start = s.pos
	switch {
	case s.at('"'), s.at('\''):
		s.quoted()
	case s.at('['):
		s.pos++
		for s.more(']') {
			e := &node{key: s.pos}
			s.value(e)
			n.elems = append(n.elems, e)
		}
	case s.at('{'):
		s.pos++
		for s.more('}') {
			s.keyValue(n)
		}
	default:
		s.until(",]}#\r\n")
		n.end = n.start + len(strings.TrimRight(s.text[n.start:s.pos], " \t"))
		if s.pos == n.start && s.pos < len(s.text) {
			s.pos++ // no value, so this is not TOML; every call must move on
		}
		return
	}
	n.end = s.pos
}

// more skips to the next element of an array or inline table and reports
// whether there is one; if not, it has read the closing bracket.
func (s *scanner) more(closing byte) bool {
	s.skip(" \t\r\n,", true)
	if s.pos == len(s.text) {
		return false
	}
	if s.at(closing) {
		s.pos++
		return false
	}
	return true
}

// quoted reads a string of any of TOML's four kinds.
func (s *scanner) quoted() {
	quote := s.text[s.pos : s.pos+1]
	delimiter := quote
	if strings.HasPrefix(s.text[s.pos:], quote+quote+quote) {
		delimiter = quote + quote + quote
	}
	s.pos += len(delimiter)
	for s.pos < len(s.text) {
		switch {
		case s.text[s.pos] == '\\' && quote == `"`:
			s.pos = min(s.pos+2, len(s.text))
		case strings.HasPrefix(s.text[s.pos:], delimiter):
			s.pos += len(delimiter)
			// Up to two more quotes before the end belong to the string.
			for i := 0; i < 2 && len(delimiter) == 3 && s.at(quote[0]); i++ {
				s.pos++
			}
			return
		default:
			s.pos++
		}
	}
}

// skip passes over the bytes of a set, and over comments if comments is true.
func (s *scanner) skip(set string, comments bool) {
	for s.pos < len(s.text) {
		switch {
		case comments && s.text[s.pos] == '#':
			comment := &node{start: s.pos}
			s.until("\r\n")
			comment.end = s.pos
			s.comments = append(s.comments, comment)
		case strings.IndexByte(set, s.text[s.pos]) >= 0:
			s.pos++
		default:
			return
		}
	}
}

// until passes over the bytes that are not in a set.
func (s *scanner) until(set string) {
	if i := strings.IndexAny(s.text[s.pos:], set); i >= 0 {
		s.pos += i
	} else {
		s.pos = len(s.text)
	}
}

func (s *scanner) at(c byte) bool { return s.pos < len(s.text) && s.text[s.pos] == c }
