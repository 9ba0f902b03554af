package resp

import "math"

// The readers are meant for replies that Scan has found complete. They report false for anything
// else, and allocate nothing.

// Int returns the value of an integer reply, and false if reply is not exactly
// one.
func Int(reply []byte) (int64, bool) {
	last := len(reply) - 2
	if last < 2 || reply[0] != ':' || reply[last] != '\r' || reply[last+1] != '\n' {
		return 0, false
	}
	return ParseInt(reply[1:last])
}

// Bulk returns the payload of a bulk string, as a slice of reply. It reports false
// if reply is not exactly one: for a null, for a string that was streamed in
// chunks, and for every other type.
func Bulk(reply []byte) (payload []byte, ok bool) {
	if len(reply) == 0 || reply[0] != '$' {
		return nil, false
	}
	return wholePayload(reply)
}

// Text returns the text of a reply for people to read, as a slice of reply: the payload of a bulk
// string, or in RESP3 that of a verbatim string without its format ("txt:"). It reports false if
// reply is not exactly one of these.
func Text(reply []byte) (text []byte, ok bool) {
	if len(reply) == 0 || reply[0] != '=' {
		return Bulk(reply)
	}
	if text, ok = wholePayload(reply); !ok || len(text) < len("txt:") {
		return nil, false
	}
	return text[len("txt:"):], true
}

// wholePayload returns what stands between a header with a length and the final line end, if that
// is all of reply.
func wholePayload(reply []byte) ([]byte, bool) {
	n, header, ok := lengthHeader(reply)
	if !ok || n < 0 || n != len(reply)-header-len("\r\n") || string(reply[header+n:]) != "\r\n" {
		return nil, false
	}
	return reply[header : header+n : header+n], true
}

// IsNull reports whether reply is a null, of either protocol.
func IsNull(reply []byte) bool {
	return string(reply) == "$-1\r\n" || string(reply) == "*-1\r\n" || string(reply) == "_\r\n"
}

// BulkLen reads the header of a bulk or verbatim string: the length of its payload
// in bytes, -1 for a null, and the length of the header. ok is false if b does not
// start with a string of known length. The payload need not be there.
func BulkLen(b []byte) (n, headerLen int, ok bool) {
	if len(b) == 0 || b[0] != '$' && b[0] != '=' {
		return 0, 0, false
	}
	return lengthHeader(b)
}

// ArrayLen reads the header of an array reply: the number of its elements, -1
// for a null array, and the length of the header in bytes. ok is false if b
// does not start with an array of known length.
func ArrayLen(b []byte) (count, headerLen int, ok bool) {
	if len(b) == 0 || b[0] != '*' {
		return 0, 0, false
	}
	return lengthHeader(b)
}

// lengthHeader reads the line at the start of b: a type and a length.
func lengthHeader(b []byte) (n, headerLen int, ok bool) {
	eol, err := headerEnd(b)
	if err != nil || eol == 0 {
		return 0, 0, false
	}
	length, ok := ParseInt(b[1:eol])
	if !ok || length < -1 || int64(int(length)) != length {
		return 0, 0, false
	}
	return int(length), eol + 2, true
}

// ElementLen returns the length of the reply or element at the start of b, with
// everything nested in it and any attributes before it. It returns 0 if b does
// not hold all of it or is malformed; b is meant to be part of a reply that has
// been scanned, and depth is not limited again.
func ElementLen(b []byte) int {
	if n := ReplyLen(b); n > 0 {
		return n
	}
	// It does not matter here where levels end: it is enough to count the elements to come on all
	// of them. An aggregate is an element that is followed by others.
	n := 0
	for left := int64(1); left > 0; {
		k, more := elementHead(b[n:])
		if k == 0 {
			return 0
		}
		n += k
		left += more - 1
	}
	return n
}

// elementHead returns the length of the element at the start of b, or only that of its header if it
// is an aggregate, and how many elements follow as part of it. The element that an attribute
// precedes is one of those.
func elementHead(b []byte) (n int, more int64) {
	if n := ReplyLen(b); n > 0 || len(b) == 0 {
		return n, 0
	}
	eol, err := headerEnd(b)
	if err == nil && eol > 0 {
		count, ok := ParseInt(b[1:eol])
		if ok && count >= 0 && count <= DefaultReplyLimits.MaxElements {
			switch b[0] {
			case '*', '~', '>':
				return eol + 2, count
			case '%':
				return eol + 2, 2 * count
			case '|':
				return eol + 2, 2*count + 1
			}
		}
	}
	// The rest are single elements, or streamed ones that need a stack.
	var s ReplyState
	n, done, err := s.Scan(b, &DefaultReplyLimits)
	if err != nil || !done {
		return 0, 0
	}
	return n, 0
}

// ArrayReader iterates over the elements of an array reply.
type ArrayReader struct {
	rest []byte
	left int
}

// ReadArray returns a reader for the elements of reply, and false if reply is
// not an array of known length. A null array has no elements. The reader's
// elements are slices of reply.
func ReadArray(reply []byte) (ArrayReader, bool) {
	count, n, ok := ArrayLen(reply)
	if !ok {
		return ArrayReader{}, false
	}
	return ArrayReader{rest: reply[n:], left: max(count, 0)}, true
}

// ReadSet is ReadArray for a reply that is an array in RESP2 and a set in RESP3;
// it takes either.
func ReadSet(reply []byte) (ArrayReader, bool) {
	if len(reply) == 0 || reply[0] != '~' {
		return ReadArray(reply)
	}
	count, n, ok := lengthHeader(reply)
	if !ok || count < 0 {
		return ArrayReader{}, false
	}
	return ArrayReader{rest: reply[n:], left: count}, true
}

// ReadMap returns a reader for the keys and values of a map of RESP3, in turns, or of an array, which
// stands for one in RESP2. It reports false for anything else.
func ReadMap(reply []byte) (ArrayReader, bool) {
	if len(reply) == 0 || reply[0] != '%' {
		return ReadArray(reply)
	}
	count, n, ok := lengthHeader(reply)
	if !ok || count < 0 || count > math.MaxInt/2 {
		return ArrayReader{}, false
	}
	return ArrayReader{rest: reply[n:], left: 2 * count}, true
}

// ReadPush returns a reader for the elements of a push, and false if frame is not one of known
// length.
func ReadPush(frame []byte) (ArrayReader, bool) {
	if len(frame) == 0 || frame[0] != '>' {
		return ArrayReader{}, false
	}
	count, n, ok := lengthHeader(frame)
	if !ok || count < 0 {
		return ArrayReader{}, false
	}
	return ArrayReader{rest: frame[n:], left: count}, true
}

// Len returns how many elements Next has not returned yet.
func (r *ArrayReader) Len() int { return r.left }

// Next returns the next element with its framing, and false after the last one
// or if the array is shorter than it says.
func (r *ArrayReader) Next() (element []byte, ok bool) {
	if r.left == 0 {
		return nil, false
	}
	n := ElementLen(r.rest)
	if n == 0 {
		return nil, false
	}
	element, r.rest = r.rest[:n:n], r.rest[n:]
	r.left--
	return element, true
}
