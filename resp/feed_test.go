package resp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// A parser must see the same in a byte stream however it is cut. The feeders
// below return what it saw as text, so that two ways of feeding compare.

// cut returns the positions at which to cut n bytes into pieces of size.
func cut(n, size int) []int {
	var at []int
	for i := size; i < n; i += size {
		at = append(at, i)
	}
	return at
}

// feedRequests gives in to a parser, cut at the positions at, and returns the
// requests it found, one a line, and what it said of the rest. Every call gets
// a buffer of its own that is spoilt afterwards, as a buffer that moves.
func feedRequests(in []byte, at []int, lim *Limits) (seen string) {
	var p RequestParser
	var st RequestState
	start := 0
	for _, end := range append(slices.Clone(at), len(in)) {
		for start < end {
			b := bytes.Clone(in[start:end])
			n, err := p.Parse(b, &st, lim)
			if err != nil {
				return seen + "error " + err.Error()
			}
			if n == 0 {
				if need := st.Need(); need <= end-start {
					return seen + fmt.Sprintf("incomplete with %d bytes, needs %d", end-start, need)
				}
				break
			}
			if st != (RequestState{}) {
				return seen + "state not reset"
			}
			seen += fmt.Sprintf("%d %q\n", n, p.Args)
			start += n
			clear(b)
			p.Release()
		}
	}
	return seen + fmt.Sprintf("incomplete %d", len(in)-start)
}

// feedReplies does the same for replies.
func feedReplies(in []byte, at []int, lim *ReplyLimits) (seen string) {
	var s ReplyState
	start, length := 0, 0
	for _, end := range append(slices.Clone(at), len(in)) {
		for start < end {
			n, done, err := s.Scan(bytes.Clone(in[start:end]), lim)
			if err != nil {
				if e := (*ProtocolError)(nil); !errors.As(err, &e) {
					return seen + "error of another type"
				}
				return seen + "error " + err.Error()
			}
			start += n
			length += n
			if !done {
				break
			}
			seen += fmt.Sprintf("%d %v\n", length, s.Push())
			length = 0
		}
	}
	return seen + "incomplete"
}
