package command

import "bytes"

// LiteralPrefix returns what every key that matches a pattern of KEYS or SCAN MATCH begins
// with, and whether that is the whole pattern, which then matches one key. The prefix is a
// part of pattern. It may be shorter than it could be: it ends before a backslash, which
// makes the byte behind it stand for itself.
func LiteralPrefix(pattern []byte) (prefix []byte, whole bool) {
	for i, b := range pattern {
		switch b {
		case '*', '?', '[', '\\':
			return pattern[:i], false
		}
	}
	return pattern, true
}

// KeyPattern returns the pattern that the keys which KEYS, or SCAN with MATCH, returns must
// match; nil if there is none, for another command, and if the request may be one that
// servers refuse.
func (c *Command) KeyPattern(args [][]byte) []byte {
	switch {
	case c.Name == "keys" && len(args) == 2:
		return args[1]
	case c.Name == "scan":
		return scanPattern(args)
	}
	return nil
}

// scanPattern returns the last MATCH of SCAN, which counts.
func scanPattern(args [][]byte) (pattern []byte) {
	for i := 2; i < len(args); i += 2 {
		if i+1 == len(args) {
			return nil
		}
		switch {
		case equalFold(args[i], "match"):
			pattern = args[i+1]
		case !equalFold(args[i], "count") && !equalFold(args[i], "type"):
			return nil
		}
	}
	return pattern
}

// SortPatterns calls each with the beginning of the keys that SORT makes of a BY or GET
// pattern, up to the * in whose place it puts an element, and with the pattern. Patterns
// that name no key are left out. It ends, and reports false, when each does.
func SortPatterns(args [][]byte, each func(prefix, pattern []byte) bool) bool {
	for i := 2; i+1 < len(args); i++ {
		switch {
		case equalFold(args[i], "limit"):
			i += 2
		case equalFold(args[i], "store"):
			i++
		case equalFold(args[i], "by"), equalFold(args[i], "get"):
			i++ // without a *, BY turns sorting off and GET is nil; "#" is the element itself
			if star := bytes.IndexByte(args[i], '*'); star >= 0 && !each(args[i][:star], args[i]) {
				return false
			}
		}
	}
	return true
}
