package resp

import (
	"bytes"
	"fmt"
	"strconv"
)

// ReplyState follows the replies of one server connection. The zero value
// stands at the start of a reply.
type ReplyState struct {
	stack            []frame // the open aggregates, innermost last
	payload          int64   // bytes of a bulk still to come, its CR LF included
	elements         int64   // of all aggregates of this reply
	length           int64   // of the text line or the streamed string so far
	started          bool    // the reply's first byte has been consumed
	text             bool    // inside a text line that is passed on as it arrives
	chunks           bool    // inside a streamed string, between two of its chunks
	attributePending bool    // an attribute has been read, its element has not
	push             bool    // the reply is a push
}

// frame is an open aggregate.
type frame struct {
	left int64 // elements to come; for a streamed one, elements so far
	kind frameKind
}

type frameKind uint8

const (
	counted     frameKind = iota
	attribute             // ends without being an element itself
	streamed              // ends with '.'
	streamedMap           // the same, after an even number of elements
)

const (
	// maxHeader is the longest line, CR LF included, that is no text: a double
	// has about 25 characters, a length 22.
	maxHeader = 64
	// maxBufferedText is how long a text line may become before it is passed on in pieces. Until
	// then it comes whole, so that a caller can tell one error from another, and no line is
	// searched more than maxBufferedText times.
	maxBufferedText = 1024
)

// Push reports whether the last complete reply was a RESP3 push, which answers
// no request. It holds from Scan's done until the next call of Scan.
func (s *ReplyState) Push() bool { return s.push }

// Scan follows a reply. b starts where the last call stopped.
//
// The first n bytes of b belong to the current reply and are well-formed; they
// can be passed on at once. With done the reply ends at b[:n], and the next
// call starts the next one. Without done, b[n:] is the beginning of a line: it
// is to be presented again, with more bytes after it.
//
// An error is a *ProtocolError: the server cannot be understood any more. The
// n bytes before the fault still belonged to the reply, which will never be
// complete.
func (s *ReplyState) Scan(b []byte, lim *ReplyLimits) (n int, done bool, err error) {
	if !s.started {
		s.push = false
		if n := knownLen(b, lim); n > 0 {
			return n, true, nil
		}
	}
	for n < len(b) {
		k, whole, err := s.step(b[n:], lim)
		n += k
		if err != nil {
			return n, false, err
		}
		if k == 0 {
			break
		}
		s.started = true
		if whole && s.endElement() {
			s.reset()
			return n, true, nil
		}
	}
	return n, false, nil
}

// keptDepth is the deepest stack that is kept from one reply to the next.
const keptDepth = 64

// reset returns to the start of a reply, except for Push.
func (s *ReplyState) reset() {
	stack := s.stack[:0]
	if cap(stack) > keptDepth {
		stack = nil
	}
	*s = ReplyState{stack: stack, push: s.push}
}

// Restart forgets the part of the current reply that has come. The reply is then presented again
// from its first byte.
func (s *ReplyState) Restart() { s.reset() }

// knownLen is ReplyLen within limits. step judges what exceeds them.
func knownLen(b []byte, lim *ReplyLimits) int {
	if n := ReplyLen(b); int64(n) <= lim.MaxBulk && n <= lim.MaxLine {
		return n
	}
	return 0
}

// step consumes the next part of a reply: an element, a line, or what there is
// of a payload. It returns how many bytes these are, 0 if there are too few,
// and whether an element ended with them.
func (s *ReplyState) step(b []byte, lim *ReplyLimits) (n int, whole bool, err error) {
	switch {
	case s.payload > 0:
		return s.stepPayload(b)
	case s.text:
		return s.stepText(b, lim)
	case s.chunks:
		return s.stepChunk(b, lim)
	case s.elements > lim.MaxElements:
		return 0, false, tooManyElements(lim)
	}
	if n := knownLen(b, lim); n > 0 {
		return n, true, nil
	}
	switch b[0] {
	case '+', '-':
		return s.startText(b, lim)
	case '(':
		if lim.RESP2 {
			return 0, false, errNotRESP2
		}
		return s.startText(b, lim)
	case '$', '*', ':':
	case '_', '%', '~', '>', '|', '#', ',', '!', '=', '.':
		if lim.RESP2 {
			return 0, false, errNotRESP2
		}
	default:
		return 0, false, &ProtocolError{fmt.Sprintf("server sent a reply of unknown type %q", b[0])}
	}
	eol, err := headerEnd(b)
	if err != nil || eol == 0 {
		return 0, false, err
	}
	whole, err = s.header(b[0], b[1:eol], lim)
	if err != nil {
		return 0, false, err
	}
	return eol + 2, whole, nil
}

// header handles a line of one type with its value, and reports whether it is an element on its
// own.
func (s *ReplyState) header(lead byte, value []byte, lim *ReplyLimits) (whole bool, err error) {
	ok := true
	switch lead {
	case ':':
		_, ok = ParseInt(value)
	case '_':
		ok = len(value) == 0
	case '#':
		ok = len(value) == 1 && (value[0] == 't' || value[0] == 'f')
	case ',':
		ok = isDouble(value)
	case '$', '!', '=':
		return s.startBulk(lead, value, lim)
	case '*', '%', '~', '>', '|':
		return s.startAggregate(lead, value, lim)
	default: // '.'
		return s.endStreamed(value)
	}
	if !ok {
		return false, badValue(lead, value)
	}
	return true, nil
}

// startBulk handles the header of a bulk string, a bulk error or a verbatim string.
func (s *ReplyState) startBulk(lead byte, value []byte, lim *ReplyLimits) (whole bool, err error) {
	if lead == '$' && len(value) == 1 && value[0] == '?' {
		s.chunks, s.length = true, 0
		return false, nil
	}
	n, ok := ParseInt(value)
	if ok && n == -1 && lead == '$' {
		return true, nil
	}
	// The text of a verbatim string follows a format of three letters and ':'.
	if !ok || n < 0 || lead == '=' && n < int64(len("txt:")) {
		return false, badValue(lead, value)
	}
	if n > lim.MaxBulk {
		return false, &ProtocolError{fmt.Sprintf("server sent a bulk of %d bytes, limit %d", n, lim.MaxBulk)}
	}
	s.payload = n + 2
	return false, nil
}

// stepPayload passes on a payload and checks the CR LF after it.
func (s *ReplyState) stepPayload(b []byte) (n int, whole bool, err error) {
	if data := s.payload - 2; data >= int64(len(b)) {
		s.payload -= int64(len(b))
		return len(b), false, nil
	} else if data > 0 {
		n = int(data)
		s.payload = 2
	}
	for ; n < len(b) && s.payload > 0; n++ {
		if b[n] != "\n\r"[s.payload-1] {
			return n, false, &ProtocolError{"server sent a bulk that does not end with CR LF"}
		}
		s.payload--
	}
	return n, s.payload == 0 && !s.chunks, nil
}

// stepChunk handles the header of a streamed string's next chunk. The chunk of length 0 ends the
// string and has no payload.
func (s *ReplyState) stepChunk(b []byte, lim *ReplyLimits) (n int, whole bool, err error) {
	eol, err := headerEnd(b)
	if err != nil || eol == 0 {
		return 0, false, err
	}
	size, ok := ParseInt(b[1:eol])
	if b[0] != ';' || !ok || size < 0 {
		return 0, false, &ProtocolError{fmt.Sprintf("server sent %q in a streamed string", b[:eol])}
	}
	if size > lim.MaxBulk-s.length {
		return 0, false, &ProtocolError{fmt.Sprintf("server streamed a string of more than %d bytes", lim.MaxBulk)}
	}
	if size == 0 {
		s.chunks = false
		return eol + 2, true, nil
	}
	s.length += size
	s.payload = size + 2
	return eol + 2, false, nil
}

// startAggregate opens an array, map, set, push or attribute.
func (s *ReplyState) startAggregate(lead byte, value []byte, lim *ReplyLimits) (whole bool, err error) {
	if lead == '>' {
		if len(s.stack) > 0 {
			return false, &ProtocolError{"server sent a push inside a reply"}
		}
		s.push = true
	}
	n, ok := ParseInt(value)
	if ok && n == -1 && lead == '*' {
		return true, nil
	}
	if len(s.stack) >= lim.MaxDepth {
		return false, &ProtocolError{fmt.Sprintf("server sent a reply nested more than %d deep", lim.MaxDepth)}
	}
	if len(value) == 1 && value[0] == '?' && lead != '>' && lead != '|' {
		kind := streamed
		if lead == '%' {
			kind = streamedMap
		}
		s.stack = append(s.stack, frame{kind: kind})
		s.attributePending = false
		return false, nil
	}
	if !ok || n < 0 {
		return false, badValue(lead, value)
	}
	if n > lim.MaxElements-s.elements {
		return false, tooManyElements(lim)
	}
	kind := counted
	if lead == '|' {
		kind = attribute
	}
	if lead == '|' || lead == '%' {
		n *= 2
	}
	if s.elements += n; s.elements > lim.MaxElements {
		return false, tooManyElements(lim)
	}
	s.attributePending = kind == attribute
	if n == 0 {
		return kind != attribute, nil
	}
	s.stack = append(s.stack, frame{left: n, kind: kind})
	s.attributePending = false
	return false, nil
}

// endElement counts a complete element in the aggregate around it, and in those that are complete
// with it. It reports whether the reply is complete.
func (s *ReplyState) endElement() (done bool) {
	s.attributePending = false
	for len(s.stack) > 0 {
		top := &s.stack[len(s.stack)-1]
		if top.kind >= streamed {
			top.left++
			s.elements++
			return false
		}
		if top.left--; top.left > 0 {
			return false
		}
		s.stack = s.stack[:len(s.stack)-1]
		if top.kind == attribute {
			s.attributePending = true
			return false
		}
	}
	return true
}

// endStreamed handles the '.' that ends a streamed aggregate.
func (s *ReplyState) endStreamed(value []byte) (whole bool, err error) {
	if len(value) == 0 && len(s.stack) > 0 && !s.attributePending {
		top := s.stack[len(s.stack)-1]
		if top.kind == streamed || top.kind == streamedMap && top.left%2 == 0 {
			s.stack = s.stack[:len(s.stack)-1]
			return true, nil
		}
	}
	return false, &ProtocolError{"server ended an aggregate that is not complete"}
}

// startText handles a line of text if all of it is there, or begins to pass it on if it is long.
func (s *ReplyState) startText(b []byte, lim *ReplyLimits) (n int, whole bool, err error) {
	window := b[:min(len(b), maxBufferedText)]
	if bytes.IndexByte(window, '\r') < 0 && bytes.IndexByte(window, '\n') < 0 && len(b) < maxBufferedText {
		return 0, false, nil
	}
	s.text, s.length = true, 0
	n, whole, err = s.stepText(b, lim)
	if !whole && n < maxBufferedText {
		s.text = false
		return 0, false, err
	}
	return n, whole, err
}

// stepText passes on a line of text. What follows the lead must be free of CR
// and LF, or another reply could hide in it; it is not looked at otherwise,
// because scripts can put anything into status, error and big number replies.
func (s *ReplyState) stepText(b []byte, lim *ReplyLimits) (n int, whole bool, err error) {
	n = bytes.IndexByte(b, '\r')
	if n < 0 {
		n = len(b)
	}
	lf := bytes.IndexByte(b[:n], '\n')
	if lf >= 0 {
		n = lf
	}
	if int64(n) > int64(lim.MaxLine)-s.length {
		return 0, false, &ProtocolError{fmt.Sprintf("server sent a line of more than %d bytes", lim.MaxLine)}
	}
	if lf >= 0 || n+1 < len(b) && b[n+1] != '\n' {
		return 0, false, errTextBreak
	}
	if n+1 < len(b) {
		s.text = false
		return n + 2, true, nil
	}
	s.length += int64(n)
	return n, false, nil
}

var (
	errTextBreak  = &ProtocolError{"server sent a line break inside a line of text"}
	errNotRESP2   = &ProtocolError{"server sent a reply that RESP2 does not have"}
	errHeaderLong = &ProtocolError{"server sent a line that is too long for its type"}
	errHeaderEnd  = &ProtocolError{"server sent a line that does not end with CR LF"}
)

// headerEnd returns the position of the CR that ends the line at the start of
// b, or 0 if the line is incomplete.
func headerEnd(b []byte) (int, error) {
	eol := bytes.IndexByte(b[:min(len(b), maxHeader-1)], '\r')
	switch {
	case eol < 0 && len(b) < maxHeader:
		return 0, nil
	case eol < 0:
		return 0, errHeaderLong
	case eol+1 == len(b):
		return 0, nil
	case b[eol+1] != '\n' || eol == 0:
		return 0, errHeaderEnd
	}
	return eol, nil
}

// badValue returns the error for a line whose value is not one of its type.
func badValue(lead byte, value []byte) error {
	return &ProtocolError{"server sent an invalid line " + strconv.Quote(string(lead)+string(value))}
}

func tooManyElements(lim *ReplyLimits) error {
	return &ProtocolError{fmt.Sprintf("server sent a reply of more than %d elements", lim.MaxElements)}
}

// isDouble reports whether s is a RESP3 double: a decimal number with optional
// fraction and exponent, inf or nan, with or without a sign. nan comes in any
// case, because servers before 7.2 print what the C library does.
func isDouble(s []byte) bool {
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	if equalFold(s, "inf") || equalFold(s, "nan") {
		return true
	}
	s, ok := skipDigits(s)
	if !ok {
		return false
	}
	if len(s) > 0 && s[0] == '.' {
		if s, ok = skipDigits(s[1:]); !ok {
			return false
		}
	}
	if len(s) > 0 && s[0]|0x20 == 'e' {
		s = s[1:]
		if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
			s = s[1:]
		}
		if s, ok = skipDigits(s); !ok {
			return false
		}
	}
	return len(s) == 0
}

// skipDigits returns what follows the digits at the start of s, and whether
// there are any.
func skipDigits(s []byte) (rest []byte, ok bool) {
	i := 0
	for i < len(s) && s[i]-'0' < 10 {
		i++
	}
	return s[i:], i > 0
}
