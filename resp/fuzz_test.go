package resp

import (
	"bytes"
	"testing"
)

// Inputs up to this length are also cut in two at every position.
const everyCut = 80

// FuzzRequest checks that a byte stream gives the same requests however it is
// cut, that memory is bounded by what has arrived, that the parser does not
// write to its input, and that a request found is what AppendRequest makes of
// its arguments, to the byte unless it came inline.
func FuzzRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, lim := range []*Limits{&DefaultLimits, &UnauthenticatedLimits, {MaxBulk: 20, MaxArgs: 4, MaxRequest: 50, MaxInline: 16}} {
			whole := feedRequests(in, nil, lim)
			if got := feedRequests(in, cut(len(in), 1+len(in)/1000), lim); got != whole {
				t.Fatalf("in pieces:\n%s\nwhole:\n%s", got, whole)
			}
			for i := 1; i < len(in) && len(in) <= everyCut; i++ {
				if got := feedRequests(in, []int{i}, lim); got != whole {
					t.Fatalf("cut at %d:\n%s\nwhole:\n%s", i, got, whole)
				}
			}
		}
		checkRequests(t, in)
	})
}

func checkRequests(t *testing.T, in []byte) {
	original := bytes.Clone(in)
	var p, again RequestParser
	var st RequestState
	var before beginning
	for rest := in; len(rest) > 0; {
		n, err := p.Parse(rest, &st, &DefaultLimits)
		if room := cap(p.Args) + cap(p.unquote); room > 64+2*len(in) {
			t.Fatalf("%d bytes made the parser reserve %d", len(in), room)
		}
		if n == 0 || err != nil {
			break
		}
		checkKnown(t, &p, &before)
		var fresh RequestParser
		if m, err := fresh.Parse(rest, new(RequestState), &DefaultLimits); m != n || err != nil || !equalArgs(p.Args, fresh.Args) || p.Inline != fresh.Inline {
			t.Fatalf("%q is %d, %q; to a parser that has met nothing %d, %v, %q", rest[:n], n, p.Args, m, err, fresh.Args)
		}
		made := AppendRequest(nil, p.Args)
		if len(p.Args) > 0 && !p.Inline && !bytes.Equal(made, rest[:n]) {
			t.Fatalf("%q became %q", rest[:n], made)
		}
		if m, err := again.Parse(made, new(RequestState), &DefaultLimits); m != len(made) || err != nil ||
			len(made) > 0 && !equalArgs(p.Args, again.Args) {
			t.Fatalf("%q became %q, which is %d, %v, %q", rest[:n], made, m, err, again.Args)
		}
		rest = rest[n:]
	}
	if !bytes.Equal(in, original) {
		t.Fatal("the input was written to")
	}
}

// beginning is what RequestParser.Known is about.
type beginning struct {
	name string
	args int
}

// checkKnown checks that p's note of the request before is not about another
// beginning, and has p note the last one.
func checkKnown(t *testing.T, p *RequestParser, before *beginning) {
	var now beginning
	if len(p.Args) > 0 {
		now = beginning{string(p.Args[0]), len(p.Args)}
	}
	if p.Known != 0 && (now != *before || p.Inline) {
		t.Fatalf("what was noted of %v is taken to be about %v", *before, now)
	}
	*before, p.Known = now, 1
}

func equalArgs(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// FuzzReply checks that a byte stream gives the same replies however it is cut,
// and that the short ways to a reply's length, value and elements agree with
// the long one.
func FuzzReply(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, lim := range []*ReplyLimits{&DefaultReplyLimits, {MaxDepth: 3, MaxBulk: 20, MaxElements: 10, MaxLine: 20}} {
			whole := feedReplies(in, nil, lim)
			if got := feedReplies(in, cut(len(in), 1+len(in)/1000), lim); got != whole {
				t.Fatalf("in pieces:\n%s\nwhole:\n%s", got, whole)
			}
			for i := 1; i < len(in) && len(in) <= everyCut; i++ {
				if got := feedReplies(in, []int{i}, lim); got != whole {
					t.Fatalf("cut at %d:\n%s\nwhole:\n%s", i, got, whole)
				}
			}
		}
		var s ReplyState
		for rest := in; len(rest) > 0; {
			n, done, err := s.Scan(rest, &DefaultReplyLimits)
			if short := ReplyLen(rest); short != 0 && (short != n || !done) {
				t.Fatalf("%q: ReplyLen %d, Scan %d, %v, %v", rest, short, n, done, err)
			}
			if n > len(rest) || cap(s.stack) > 64+len(in) {
				t.Fatalf("%d of %d bytes, room for %d levels", n, len(rest), cap(s.stack))
			}
			if !done || err != nil {
				break
			}
			checkReply(t, rest[:n])
			rest = rest[n:]
		}
	})
}

func checkReply(t *testing.T, reply []byte) {
	if n := ElementLen(reply); n != len(reply) {
		t.Fatalf("%q: ElementLen %d", reply, n)
	}
	if n, ok := Int(reply); ok != (reply[0] == ':') {
		t.Fatalf("%q: Int %d, %v", reply, n, ok)
	}
	checkString(t, reply)
	r, ok := ReadArray(reply)
	if set, isSet := ReadSet(reply); isSet != (ok || reply[0] == '~' && reply[1] != '?') || ok && set.Len() != r.Len() {
		t.Fatalf("%q: as a set %d elements, %v", reply, set.Len(), isSet)
	}
	if !ok {
		return
	}
	count, length, _ := ArrayLen(reply)
	for e, ok := r.Next(); ok; e, ok = r.Next() {
		length += len(e)
		count--
	}
	if length != len(reply) || count > 0 {
		t.Fatalf("%q: its elements are %d bytes, and %d are missing", reply, length, count)
	}
}

// checkString checks that the payload of a string is what the writers make the very
// reply of again, and that nothing else has one.
func checkString(t *testing.T, reply []byte) {
	streamed := len(reply) > 1 && reply[1] == '?'
	payload, ok := Bulk(reply)
	if ok != (reply[0] == '$' && !streamed && !IsNull(reply)) || ok && !bytes.Equal(AppendBulk(nil, payload), reply) {
		t.Fatalf("%q: Bulk %q, %v", reply, payload, ok)
	}
	text, isText := Text(reply)
	if isText != (ok || reply[0] == '=') || ok && !bytes.Equal(text, payload) {
		t.Fatalf("%q: Text %q, %v", reply, text, isText)
	}
	if made := RESP3.AppendText(nil, string(text)); isText && !ok && !bytes.Equal(made[len(made)-len(text)-2:], reply[len(reply)-len(text)-2:]) {
		t.Fatalf("%q: Text %q becomes %q", reply, text, made)
	}
}

// FuzzRead gives the readers bytes that were not scanned.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"$3\r\nabc\r\n", "$3\r\nabc", "=7\r\ntxt:abc\r\n", "$-1\r\n", "$9223372036854775807\r\n", "$4294967297\r\nab\r\n", "*2\r\n:1\r\n", "*2147483647\r\n$1\r\na\r\n",
		"~2\r\n$1\r\na\r\n$1\r\nb\r\n", "|1\r\n_\r\n", "*1\r\n*1\r\n*1\r\n", "$?\r\n;1\r\na\r\n;0\r\n", ":1\r\n", "_\r\n", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		payload, ok := Bulk(in)
		if ok && !bytes.Equal(AppendBulk(nil, payload), in) {
			t.Fatalf("%q: Bulk %q", in, payload)
		}
		if text, ok := Text(in); ok && len(text) > len(in) {
			t.Fatalf("%q: Text %q", in, text)
		}
		if n, header, ok := BulkLen(in); ok && (n < -1 || header < len("$0\r\n") || header > len(in)) {
			t.Fatalf("%q: BulkLen %d, %d", in, n, header)
		}
		IsNull(in)
		Int(in)
		r, _ := ReadSet(in)
		length, count := 0, r.Len()
		for e, ok := r.Next(); ok; e, ok = r.Next() {
			length += len(e)
			count--
		}
		if length > len(in) || count != r.Len() {
			t.Fatalf("%q: elements of %d bytes, %d left of which the reader has %d", in, length, count, r.Len())
		}
	})
}
