package resp

import "bytes"

// line parses a request that is a line of words, as a person types it.
func (p *RequestParser) line(b []byte, st *RequestState, lim *Limits) (int, error) {
	// A TLS record of type handshake, version 3.x: RFC 8446, section 5.1.
	if len(b) > 1 && b[0] == 0x16 && b[1] == 0x03 {
		return 0, ErrTLS
	}
	to := min(len(b), lim.MaxInline+1)
	from := min(st.scanned, to) // less only if the limit has shrunk since
	i := bytes.IndexByte(b[from:to], '\n')
	if i < 0 {
		if len(b) > lim.MaxInline {
			return 0, errBigInline
		}
		*st = RequestState{need: len(b) + 1, scanned: len(b), inline: true}
		return 0, nil
	}
	end := from + i
	*st = RequestState{}
	words := bytes.TrimSuffix(b[:end], []byte{'\r'})
	if isPROXY(words) {
		return 0, ErrPROXY
	}
	// Redis stops reading such a connection, for good. A word with a NUL in it
	// is possible in quotes, as \x00.
	if bytes.IndexByte(words, 0) >= 0 {
		return 0, errInlineNUL
	}
	if !p.split(words) {
		return 0, errQuotes
	}
	if len(p.Args) > 0 && (isAttack(p.Args[0]) || isHTTP(p.Args)) {
		return 0, ErrHTTP
	}
	return end + 1, nil
}

// split cuts a line into words by the rules of Redis's sdssplitargs and
// reports whether its quotes are balanced. The words lie in p.unquote.
func (p *RequestParser) split(line []byte) bool {
	p.Inline = true
	p.Args = p.Args[:0]
	p.opening, p.Known = opening{}, 0
	// Unquoting never makes a line longer, so the words stay where they are
	// put while others are added.
	if cap(p.unquote) < len(line) {
		p.unquote = make([]byte, 0, len(line))
	}
	out := p.unquote[:0]
	for {
		for len(line) > 0 && isSpace(line[0]) {
			line = line[1:]
		}
		if len(line) == 0 {
			p.used = max(p.used, len(p.Args))
			return true
		}
		start, ok := len(out), false
		if out, line, ok = appendWord(out, line); !ok {
			return false
		}
		p.Args = append(p.Args, out[start:len(out):len(out)])
	}
}

// appendWord appends the first word of line to out, without its quotes, and
// returns the rest of the line. A quoted part may follow plain characters; its
// closing quote ends the word.
func appendWord(out, line []byte) (word, rest []byte, ok bool) {
	for i, c := range line {
		switch c {
		case ' ', '\n', '\r', '\t':
			return out, line[i:], true
		case '"':
			return appendQuoted(out, line[i+1:], c, unescapeDouble)
		case '\'':
			return appendQuoted(out, line[i+1:], c, unescapeSingle)
		}
		out = append(out, c)
	}
	return out, nil, true
}

// appendQuoted appends what stands before the closing quote. The closing quote
// must be the end of the word.
func appendQuoted(out, line []byte, quote byte, unescape func([]byte) (byte, int)) (word, rest []byte, ok bool) {
	for len(line) > 0 {
		if line[0] == quote {
			line = line[1:]
			return out, line, len(line) == 0 || isSpace(line[0])
		}
		c, n := unescape(line)
		out = append(out, c)
		line = line[n:]
	}
	return out, nil, false
}

// unescapeSingle returns the character that s begins with inside '...', and
// how many bytes stand for it. Only the quote itself can be escaped.
func unescapeSingle(s []byte) (byte, int) {
	if len(s) > 1 && s[0] == '\\' && s[1] == '\'' {
		return '\'', 2
	}
	return s[0], 1
}

// unescapeDouble does the same inside "...".
func unescapeDouble(s []byte) (byte, int) {
	if s[0] != '\\' || len(s) == 1 {
		return s[0], 1
	}
	switch c := s[1]; c {
	case 'x':
		if len(s) > 3 && isHex(s[2]) && isHex(s[3]) {
			return unhex(s[2])<<4 | unhex(s[3]), 4
		}
		return c, 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'b':
		return '\b', 2
	case 'a':
		return '\a', 2
	default:
		return c, 2
	}
}

// isSpace is C's isspace in the C locale.
func isSpace(c byte) bool { return c == ' ' || c-'\t' < 5 }

func isHex(c byte) bool { return c-'0' < 10 || c|0x20-'a' < 6 }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// isAttack reports whether a request is named like the start of a line that a
// browser sends and that no Redis client does. Redis has the same two names.
func isAttack(name []byte) bool {
	return (len(name) == 4 || len(name) == 5) && isPostOrHost(name)
}

func isPostOrHost(name []byte) bool {
	return equalFold(name, "post") || equalFold(name, "host:")
}

// isPROXY reports whether a line is a PROXY protocol header: that of version 1, or the
// third line of version 2's, "\r\n\r\n\x00\r\nQUIT\n", whose first two are empty.
func isPROXY(line []byte) bool {
	return len(line) == 1 && line[0] == 0 || bytes.HasPrefix(line, []byte("PROXY TCP")) || bytes.HasPrefix(line, []byte("PROXY UNKNOWN"))
}

// isHTTP reports whether an inline request is a line such as "GET / HTTP/1.1".
// It is none of Redis's requests: GET takes one argument, and the other
// methods (PRI opens HTTP/2) are no commands.
func isHTTP(args [][]byte) bool {
	if len(args) < 3 || !bytes.HasPrefix(args[len(args)-1], []byte("HTTP/")) {
		return false
	}
	for _, method := range [...]string{"get", "head", "put", "delete", "options", "patch", "connect", "trace", "pri"} {
		if equalFold(args[0], method) {
			return true
		}
	}
	return false
}

// equalFold compares s with a lower-case ASCII text, ignoring case.
func equalFold(s []byte, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i, c := range s {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
