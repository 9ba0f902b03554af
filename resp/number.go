package resp

import (
	"math"
	"strconv"
)

// maxDigits is the number of digits of the largest int64. As many nines still
// fit a uint64, so a number of at most maxDigits digits can be added up first
// and compared with its bounds afterwards.
const maxDigits = 19

// parseInt reads a decimal number in its one canonical spelling: no blanks, no
// '+', no leading zero, no "-0", within int64. This is what Redis's string2ll
// accepts.
func parseInt(s []byte) (int64, bool) {
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > maxDigits {
		return 0, false
	}
	if s[0] == '0' {
		return 0, len(s) == 1 && !negative
	}
	var n uint64
	for _, c := range s {
		d := c - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + uint64(d)
	}
	if negative {
		// MinInt64 has one more than MaxInt64; -n wraps to it exactly.
		return -int64(n), n <= math.MaxInt64+1
	}
	return int64(n), n <= math.MaxInt64
}

// AppendRequest appends args to dst as one request, a RESP array of bulks, and
// returns the longer slice. It copies the arguments. No arguments append
// nothing, because an empty request has no reply.
func AppendRequest(dst []byte, args [][]byte) []byte {
	if len(args) == 0 {
		return dst
	}
	dst = appendLength(dst, '*', len(args))
	for _, a := range args {
		dst = appendLength(dst, '$', len(a))
		dst = append(dst, a...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// appendLength appends a line that announces a length n.
func appendLength(dst []byte, lead byte, n int) []byte {
	dst = append(dst, lead)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, '\r', '\n')
}
