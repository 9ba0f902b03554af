package resp

import "bytes"

// ReplyLen returns the length of the reply at the start of b if it is complete,
// well-formed and of one of the types that most replies have: a simple string,
// an error, an integer, a bulk string or a null. Otherwise it returns 0, and
// ReplyState.Scan knows more. It applies no limits: what it accepts is in
// memory already.
func ReplyLen(b []byte) int {
	if len(b) < len("_\r\n") {
		return 0
	}
	switch b[0] {
	case '$':
		return bulkLen(b)
	case '+', '-':
		return textLen(b)
	case ':':
		eol := bytes.IndexByte(b[:min(len(b), maxHeader)], '\r')
		if eol < 0 || eol+1 >= len(b) || b[eol+1] != '\n' {
			return 0
		}
		if _, ok := parseInt(b[1:eol]); !ok {
			return 0
		}
		return eol + 2
	case '_':
		if b[1] == '\r' && b[2] == '\n' {
			return 3
		}
	}
	return 0
}

// textLen is ReplyLen for a line of text.
func textLen(b []byte) int {
	n := bytes.IndexByte(b, '\n')
	if n < 2 || b[n-1] != '\r' || bytes.IndexByte(b[:n-1], '\r') >= 0 {
		return 0
	}
	return n + 1
}

// bulkLen is ReplyLen for a bulk string or its null.
func bulkLen(b []byte) int {
	eol := bytes.IndexByte(b[:min(len(b), maxHeader)], '\r')
	if eol < 0 || eol+1 >= len(b) || b[eol+1] != '\n' {
		return 0
	}
	n, ok := parseInt(b[1:eol])
	if ok && n == -1 {
		return eol + 2
	}
	if !ok || n < 0 || n > int64(len(b)-eol-4) {
		return 0
	}
	end := eol + 2 + int(n)
	if b[end] != '\r' || b[end+1] != '\n' {
		return 0
	}
	return end + 2
}
