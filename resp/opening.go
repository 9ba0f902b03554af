package resp

import "encoding/binary"

// opening is the beginning of requests with one number of arguments and one name, such as
// "*2\r\n$3\r\nGET\r\n". Most requests begin as the one before, and two comparisons of eight bytes
// detect that at less cost than parsing.
type opening struct {
	head, tail uint64 // the first and the last eight bytes, which may overlap
	size       int    // 0 if nothing is remembered
	args       int
}

const (
	minOpening = len("*1\r\n$1\r\nx\r\n")
	maxOpening = 16 // a head and a tail that do not overlap: names of six bytes
	nameAt     = len("*1\r\n$1\r\n")
)

// begins reports whether the request at the start of b has this opening.
func (o *opening) begins(b []byte) bool {
	return o.size >= minOpening && len(b) >= maxOpening && binary.LittleEndian.Uint64(b) == o.head &&
		binary.LittleEndian.Uint64(b[o.size-8:]) == o.tail
}

// openingOf returns the opening of the request at the start of b, whose arguments are args. It is
// empty for one that is too long or spelled unusually.
func openingOf(b []byte, args [][]byte) opening {
	if len(args) == 0 {
		return opening{}
	}
	size := nameAt + len(args[0]) + len("\r\n")
	if size < minOpening || size > maxOpening || b[2] != '\r' || b[6] != '\r' {
		return opening{}
	}
	return opening{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[size-8:]), size, len(args)}
}
