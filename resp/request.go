package resp

import (
	"bytes"
	"encoding/binary"
	"math"
)

// RequestParser finds requests and their arguments. It is scratch space that
// holds nothing between two requests: one event loop needs one for all its
// clients. The zero value is ready.
type RequestParser struct {
	// Args are the arguments of the request that Parse found last, the
	// command's name first. They are slices of the buffer given to Parse, or
	// of the parser for an inline request. They are valid until the next call
	// of Parse or Release, and while that buffer is; there are none after a
	// call that found no request.
	Args [][]byte

	// Inline says that the request was a line of words, not a RESP array. Its
	// bytes are not to be forwarded; AppendRequest(dst, Args) is.
	Inline bool

	// Known is for the caller to note what it has found out about a request's name
	// and number of arguments. It stays while the next requests have the very same,
	// and is 0 after any other request.
	Known int

	opening opening // of the last request, if Known may stay
	used    int     // how many slots of Args have been written since Release
	unquote []byte  // the words of an inline request, without their quotes
}

// maxKeptArgs is the largest scratch, in arguments, that a parser keeps after
// a request: 1.5 MiB. A burst of larger ones leaves no memory behind.
const maxKeptArgs = 64 << 10

// fewArgs is the number up to which the scratch grows by itself.
const fewArgs = 256

// RequestState is what is known of a request that has not arrived whole. Every
// client has one. The zero value stands at the start of a request.
//
// It keeps no list of arguments: the checked part of a request is walked once
// more when the request is complete, which costs less than remembering it and
// reads nothing that the caller could have changed without being noticed.
type RequestState struct {
	pos     int  // all before it is checked; a line or a bulk starts here
	need    int  // Parse can do nothing with fewer bytes; 0 at a start
	scanned int  // so many bytes from pos on hold no line end
	left    int  // arguments from pos on; -1 while their number is not known
	inline  bool // the request is a line of words
}

// minArg is the length of the shortest argument with its framing.
const minArg = len("$0\r\n\r\n")

// Need returns a lower bound for the length of the request in bytes, as far as
// it has announced itself, or 0 if nothing is known. It is a client's claim
// and no reason to reserve memory: let a buffer double as the bytes arrive,
// and use Need to stop doubling too far.
func (st *RequestState) Need() int {
	others := max(st.left-1, 0)
	return st.need + min(others, (math.MaxInt-st.need)/minArg)*minArg
}

// Parse looks for one request at the start of b.
//
// With n > 0 the request is b[:n], p.Args are its arguments and st is zero
// again. If p.Args is empty the request asked for nothing (an empty line, or
// an array of no elements) and gets no reply.
//
// With n == 0 and no error the request is incomplete. Parse is to be called
// again with the same bytes, wherever they are now, and more after them. It
// costs O(1) while a bulk is incomplete, and never looks twice at what it has
// checked until the request is complete.
//
// An error means that the connection is to be closed: at once for ErrHTTP, and
// after telling the client for ErrTLS and any other *ProtocolError. The
// requests before it are not concerned.
func (p *RequestParser) Parse(b []byte, st *RequestState, lim *Limits) (n int, err error) {
	if st.need == 0 {
		if len(b) == 0 {
			return 0, nil
		}
		if b[0] == '*' {
			return p.array(b, st, lim)
		}
		return p.line(b, st, lim)
	}
	if len(b) < st.need {
		return 0, nil
	}
	if st.inline {
		return p.line(b, st, lim)
	}
	if complete, err := st.resume(b, lim); err != nil || !complete {
		return 0, err
	}
	*st = RequestState{}
	return p.array(b, st, lim)
}

// Release lets go of the buffers that the last requests lay in; without it
// Args may keep the memory of some of them from being collected. It makes Args
// invalid, and costs little: an event loop may call it after every turn.
func (p *RequestParser) Release() {
	clear(p.Args[:min(p.used, cap(p.Args))])
	p.Args = p.Args[:0]
	p.used = 0
}

// array parses a request that is a RESP array, from its first byte on. If it is
// incomplete, st says where to resume.
//
// The loop confirms the shortest spelling of an argument itself and leaves all
// else, faults included, to bulk.
func (p *RequestParser) array(b []byte, st *RequestState, lim *Limits) (int, error) {
	pos, left := p.opening.size, p.opening.args-1
	asBefore := p.opening.begins(b) && left < lim.MaxArgs
	if !asBefore {
		var err error
		if pos, left, err = st.count(b, lim); err != nil || pos == 0 {
			return 0, err
		}
	}
	args := p.Args[:0]
	if cap(args) > maxKeptArgs && left <= maxKeptArgs {
		args = nil
	}
	if left > cap(args) && left > fewArgs && left <= (len(b)-pos)/minArg {
		args = make([][]byte, 0, left+1) // to grow by and by would cost five times as much
	}
	if asBefore {
		args = append(args, b[nameAt:pos-2:pos-2])
	}
	for ; left > 0; left-- {
		h := b[pos:]
		var n, start uint
		if len(h) >= shortBulk {
			n, start = shortLength(binary.LittleEndian.Uint64(h))
		}
		end := start + n + 2
		if start == 0 || end > uint(len(h)) || binary.LittleEndian.Uint16(h[end-2:]) != crlf ||
			int64(n) > lim.MaxBulk || int64(pos)+int64(end) > lim.MaxRequest {
			from, to, err := st.bulk(b, pos, left, lim)
			if err != nil || to == 0 {
				p.Args, p.used = args[:0], max(p.used, len(args))
				return 0, err
			}
			start, end = uint(from-pos), uint(to-pos)
		}
		args = append(args, h[start:end-2:end-2])
		pos += int(end)
	}
	p.Args, p.used, p.Inline = args, max(p.used, len(args)), false
	if asBefore {
		return pos, nil
	}
	p.opening, p.Known = opening{}, 0
	if len(args) > 0 && isAttack(args[0]) {
		return 0, ErrHTTP
	}
	p.opening = openingOf(b, args)
	return pos, nil
}

// resume goes on with a RESP array from where st stands, and reports whether
// all of it has arrived.
func (st *RequestState) resume(b []byte, lim *Limits) (complete bool, err error) {
	if st.left < 0 {
		pos, count, err := st.count(b, lim)
		if err != nil || pos == 0 {
			return false, err
		}
		st.pos, st.left, st.scanned = pos, count, 0
	}
	for st.left > 0 {
		_, end, err := st.bulk(b, st.pos, st.left, lim)
		if err != nil || end == 0 {
			return false, err
		}
		st.pos, st.scanned = end, 0
		st.left--
	}
	return true, nil
}

// count reads the line that opens an array. It returns the position after it
// and the number of arguments, or position 0 if the line is incomplete.
func (st *RequestState) count(b []byte, lim *Limits) (pos, count int, err error) {
	// One digit, as most requests have.
	if len(b) >= 4 && b[2] == '\r' && b[3] == '\n' {
		if n := int(b[1] - '0'); n <= 9 && n <= lim.MaxArgs {
			return 4, n, nil
		}
	}
	eol, err := st.lineEnd(b, 0, -1, lim, errBigCountLine)
	if err != nil || eol == 0 {
		return 0, 0, err
	}
	n, ok := ParseInt(b[1:eol])
	if !ok || b[eol+1] != '\n' {
		return 0, 0, errCount
	}
	if n > int64(lim.MaxArgs) {
		return 0, 0, lim.badCount(n)
	}
	return eol + 2, int(max(n, 0)), nil
}

// bulk reads an argument at pos, with left arguments to come from there on. It
// returns where the argument's bytes start and where its CR LF ends, or end 0
// if it is incomplete.
func (st *RequestState) bulk(b []byte, pos, left int, lim *Limits) (start, end int, err error) {
	eol, err := st.lineEnd(b, pos, left, lim, errBigBulkLine)
	if err != nil || eol == 0 {
		return 0, 0, err
	}
	if b[pos] != '$' {
		return 0, 0, errNoDollar(b[pos])
	}
	n, ok := ParseInt(b[pos+1 : eol])
	if !ok || n < 0 || b[eol+1] != '\n' {
		return 0, 0, errBulk
	}
	if n > lim.MaxBulk {
		return 0, 0, lim.badBulk(n)
	}
	start = eol + 2
	if n > lim.MaxRequest-int64(start)-2 {
		return 0, 0, errBigRequest
	}
	end = start + int(n) + 2
	if len(b) < end {
		*st = RequestState{pos: pos, need: end, scanned: eol - pos, left: left}
		return 0, 0, nil
	}
	if b[end-2] != '\r' || b[end-1] != '\n' {
		return 0, 0, errBulkEnd
	}
	return start, end, nil
}

// lineEnd returns the position of the CR that ends the line at pos, with one
// byte more after it, or 0 if the line is incomplete. tooBig is the error for
// a line that grows beyond the limit.
func (st *RequestState) lineEnd(b []byte, pos, left int, lim *Limits, tooBig error) (int, error) {
	to := min(len(b), pos+lim.MaxInline+1)
	from := min(pos+st.scanned, to) // less only if the limit has shrunk since
	window := b[from:to]
	i := bytes.IndexByte(window, '\r')
	if i < 0 && pos+lim.MaxInline < len(b) {
		return 0, tooBig
	}
	if i >= 0 && from+i+1 < len(b) {
		return from + i, nil
	}
	if i < 0 {
		i = len(window)
	}
	*st = RequestState{pos: pos, need: len(b) + 1, scanned: from + i - pos, left: left}
	return 0, nil
}
