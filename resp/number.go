package resp

import "math"

// maxDigits is the number of digits of the largest int64. As many nines still
// fit a uint64, so a number of at most maxDigits digits can be added up first
// and compared with its bounds afterwards.
const maxDigits = 19

// ParseInt parses a decimal number in its one canonical spelling: no blanks, no '+', no leading
// zero, no "-0", within int64. Redis's string2ll accepts the same, both in lengths and in the
// arguments of most commands. It does not allocate.
func ParseInt(s []byte) (int64, bool) {
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

// shortBulk is how many bytes shortLength looks at.
const shortBulk = 8

// shortLength parses the line that announces a bulk of up to 99,999 bytes, which nearly every
// request and reply consists of. x are the first shortBulk bytes of the bulk, the first in the
// lowest bits. It returns the bulk's length and that of the line; the latter is 0 for any other
// line, right or wrong.
func shortLength(x uint64) (n, header uint) {
	// What is below '0' wraps to a large number.
	n = uint(byte(x>>8) - '0')
	if byte(x) != '$' || n > 9 {
		return 0, 0
	}
	for x, header = x>>16, 4; header <= shortBulk; x, header = x>>8, header+1 {
		if uint16(x) == crlf {
			return n, header
		}
		d := uint(byte(x) - '0')
		if d > 9 || n == 0 { // no digit, or one after a leading zero
			break
		}
		n = n*10 + d
	}
	return 0, 0
}

// crlf is a line end as the low 16 bits of a little-endian word.
const crlf = '\r' | '\n'<<8
