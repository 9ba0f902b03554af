package resp

import (
	"strconv"
	"strings"
)

// Each writer appends to dst and returns the longer slice, as append does; none allocates while dst
// has room. What RESP2 and RESP3 spell differently is a method of Protocol.

// AppendRequest appends args to dst as one request, a RESP array of bulks, and
// returns the longer slice. It copies the arguments. No arguments append
// nothing, because an empty request has no reply.
func AppendRequest(dst []byte, args [][]byte) []byte {
	if len(args) == 0 {
		return dst
	}
	dst = AppendArray(dst, len(args))
	for _, arg := range args {
		dst = AppendBulk(dst, arg)
	}
	return dst
}

// AppendArray appends the header of an array of n elements, which the caller appends.
func AppendArray(dst []byte, n int) []byte { return appendLine(dst, '*', int64(n)) }

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte { return appendLine(dst, ':', n) }

// AppendBulk appends a bulk string.
func AppendBulk(dst, s []byte) []byte {
	dst = appendLine(dst, '$', int64(len(s)))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// AppendBulkString is AppendBulk for a string.
func AppendBulkString(dst []byte, s string) []byte {
	dst = appendLine(dst, '$', int64(len(s)))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// AppendSimple appends a simple string, such as "OK". The text must not hold a line break.
func AppendSimple(dst []byte, text string) []byte {
	dst = append(dst, '+')
	dst = append(dst, text...)
	return append(dst, '\r', '\n')
}

// AppendError appends an error reply to dst and returns the longer slice. The
// text starts with the error's code, as in "ERR no such key", and has neither
// the leading '-' nor the line end. Line breaks in it become spaces, so that a
// text which quotes a client cannot forge a second reply.
func AppendError(dst []byte, text string) []byte {
	dst = append(dst, '-')
	if strings.ContainsAny(text, "\r\n") {
		text = lineBreakToSpaces.Replace(text)
	}
	dst = append(dst, text...)
	return append(dst, '\r', '\n')
}

var lineBreakToSpaces = strings.NewReplacer("\r", " ", "\n", " ")

// AppendNull appends the null that stands for a single value.
func (p Protocol) AppendNull(dst []byte) []byte {
	if p == RESP3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "$-1\r\n"...)
}

// AppendNullArray appends the null that stands for an array.
func (p Protocol) AppendNullArray(dst []byte) []byte {
	if p == RESP3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "*-1\r\n"...)
}

// AppendMap appends the header of a map of n pairs; the caller appends n times a key and its value.
// In RESP2 this is an array of 2n elements.
func (p Protocol) AppendMap(dst []byte, n int) []byte {
	if p == RESP3 {
		return appendLine(dst, '%', int64(n))
	}
	return AppendArray(dst, 2*n)
}

// AppendSet appends the header of a set of n elements, in RESP2 an array.
func (p Protocol) AppendSet(dst []byte, n int) []byte {
	if p == RESP3 {
		return appendLine(dst, '~', int64(n))
	}
	return AppendArray(dst, n)
}

// AppendPush appends the header of a push of n elements, a message that answers no request; in
// RESP2 an array.
func (p Protocol) AppendPush(dst []byte, n int) []byte {
	if p == RESP3 {
		return appendLine(dst, '>', int64(n))
	}
	return AppendArray(dst, n)
}

// AppendText appends text for people to read: a verbatim string, in RESP2 a bulk.
func (p Protocol) AppendText(dst []byte, text string) []byte {
	if p != RESP3 {
		return AppendBulkString(dst, text)
	}
	dst = appendLine(dst, '=', int64(len("txt:")+len(text)))
	dst = append(dst, "txt:"...)
	dst = append(dst, text...)
	return append(dst, '\r', '\n')
}

// AppendDouble appends a floating point number that is already formatted: a double, in RESP2 a
// bulk.
func (p Protocol) AppendDouble(dst, spelled []byte) []byte {
	if p != RESP3 {
		return AppendBulk(dst, spelled)
	}
	dst = append(dst, ',')
	dst = append(dst, spelled...)
	return append(dst, '\r', '\n')
}

// appendLine appends a line that consists of a type and a number.
func appendLine(dst []byte, lead byte, n int64) []byte {
	dst = append(dst, lead)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '\r', '\n')
}
