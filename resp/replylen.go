package resp

import (
	"bytes"
	"encoding/binary"
)

// ReplyLen returns the length of the reply at the start of b if it is complete,
// well-formed and of one of the types that most replies have: a simple string,
// an error, an integer, a bulk string or a null. Otherwise it returns 0, and
// ReplyState.Scan knows more. It applies no limits: what it accepts is in
// memory already.
func ReplyLen(b []byte) int {
	if len(b) >= shortBulk {
		if n, header := shortLength(binary.LittleEndian.Uint64(b)); header != 0 {
			end := header + n + 2
			if end > uint(len(b)) || binary.LittleEndian.Uint16(b[end-2:]) != crlf {
				return 0
			}
			return int(end)
		}
	}
	return lineLen(b)
}

// lineLen is ReplyLen for all but a short bulk.
func lineLen(b []byte) int {
	if len(b) < len("_\r\n") {
		return 0
	}
	switch b[0] {
	case '+', '-':
		return textLen(b)
	case ':':
		return intLen(b)
	case '$':
		return bulkLen(b)
	case '_':
		if b[1] == '\r' && b[2] == '\n' {
			return 3
		}
	}
	return 0
}

// textLen is ReplyLen for a line of text.
func textLen(b []byte) int {
	if len(b) >= 5 && string(b[:5]) == "+OK\r\n" {
		return 5
	}
	n := bytes.IndexByte(b, '\n')
	if n < 2 || b[n-1] != '\r' || bytes.IndexByte(b[:n-1], '\r') >= 0 {
		return 0
	}
	return n + 1
}

// intLen is ReplyLen for an integer of up to 18 digits, which is in range
// whatever the digits are.
func intLen(b []byte) int {
	const digits = 18
	b = b[:min(len(b), len(":-")+digits+len("\r\n"))]
	first := 1
	if b[1] == '-' {
		first = 2
	}
	i := first
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	if i+1 >= len(b) || b[i] != '\r' || b[i+1] != '\n' || i == first || i > first+digits {
		return 0
	}
	if b[first] == '0' && i != 2 { // a leading zero, or -0
		return 0
	}
	return i + 2
}

// bulkLen is ReplyLen for a bulk string that is a null, very long, or the last
// few bytes of b.
func bulkLen(b []byte) int {
	if len(b) >= 5 && string(b[:5]) == "$-1\r\n" {
		return 5
	}
	eol, err := headerEnd(b)
	if err != nil || eol == 0 {
		return 0
	}
	n, ok := ParseInt(b[1:eol])
	if !ok || n < 0 || n > int64(len(b)-eol-4) {
		return 0
	}
	end := eol + 2 + int(n)
	if b[end] != '\r' || b[end+1] != '\n' {
		return 0
	}
	return end + 2
}
