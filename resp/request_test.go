package resp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// one parses in, cut in all the ways that short inputs allow, and fails if they
// differ. It returns what feedRequests saw.
func one(t *testing.T, in string, lim *Limits) string {
	t.Helper()
	whole := feedRequests([]byte(in), nil, lim)
	step := 1
	if len(in) > 4096 {
		step += len(in) / 512
	}
	if got := feedRequests([]byte(in), cut(len(in), step), lim); got != whole {
		t.Errorf("%.80q byte by byte: %s, want %s", in, got, whole)
	}
	for i := 1; i < len(in) && len(in) < 200; i++ {
		if got := feedRequests([]byte(in), []int{i}, lim); got != whole {
			t.Errorf("%.80q cut at %d: %s, want %s", in, i, got, whole)
		}
	}
	return whole
}

func TestRequestsAreFramedAsRedisDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"array", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "20 [\"GET\" \"k\"]\nincomplete 0"},
		{"two", "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n", "14 [\"PING\"]\n14 [\"QUIT\"]\nincomplete 0"},
		{"binary argument", "*2\r\n$4\r\nECHO\r\n$4\r\n\r\n*1\r\n", "24 [\"ECHO\" \"\\r\\n*1\"]\nincomplete 0"},
		{"empty argument", "*1\r\n$0\r\n\r\n", "10 [\"\"]\nincomplete 0"},
		{"ten arguments", "*10\r\n" + strings.Repeat("$1\r\na\r\n", 10), "75 [" + strings.Repeat("\"a\" ", 9) + "\"a\"]\nincomplete 0"},
		{"no arguments", "*0\r\n*1\r\n$4\r\nPING\r\n", "4 []\n14 [\"PING\"]\nincomplete 0"},
		{"null array", "*-1\r\n", "5 []\nincomplete 0"},
		{"negative count", "*-10\r\n", "6 []\nincomplete 0"},
		{"most negative count", "*-9223372036854775808\r\n", "23 []\nincomplete 0"},
		{"smaller count", "*-9223372036854775809\r\n", "error Protocol error: invalid multibulk length"},
		{"inline", "PING\r\n", "6 [\"PING\"]\nincomplete 0"},
		{"inline, LF only", "PING\n", "5 [\"PING\"]\nincomplete 0"},
		{"empty line", "\r\n", "2 []\nincomplete 0"},
		{"empty line, LF only", "\nPING\n", "1 []\n5 [\"PING\"]\nincomplete 0"},
		{"blank line", " \t\r\n", "4 []\nincomplete 0"},
		{"nothing", "", "incomplete 0"},
		{"waits for a count", "*", "incomplete 1"},
		{"waits for LF after a count", "*1\r", "incomplete 3"},
		{"waits for an argument", "*1\r\n$4\r\nPIN", "incomplete 11"},
		{"waits for CR LF", "*1\r\n$4\r\nPING", "incomplete 12"},
		{"INT_MAX arguments", "*2147483647\r\n", "incomplete 13"},
		{"a million and one arguments", "*1048577\r\n", "incomplete 10"},
		{"512 MiB", "*1\r\n$536870912\r\n", "incomplete 16"},

		{"more than INT_MAX", "*2147483648\r\n", "error Protocol error: invalid multibulk length"},
		{"count of 10 nines", "*9999999999\r\n", "error Protocol error: invalid multibulk length"},
		{"count over int64", "*9223372036854775808\r\n", "error Protocol error: invalid multibulk length"},
		{"count over uint64", "*18446744073709551617\r\n", "error Protocol error: invalid multibulk length"},
		{"count with plus", "*+1\r\n", "error Protocol error: invalid multibulk length"},
		{"count with blank", "* 1\r\n", "error Protocol error: invalid multibulk length"},
		{"count with blank after", "*1 \r\n", "error Protocol error: invalid multibulk length"},
		{"count with zero", "*01\r\n", "error Protocol error: invalid multibulk length"},
		{"count -0", "*-0\r\n", "error Protocol error: invalid multibulk length"},
		{"count of letters", "*abc\r\n", "error Protocol error: invalid multibulk length"},
		{"count of a letter", "*:\r\n", "error Protocol error: invalid multibulk length"},
		{"count in hex", "*0x1\r\n", "error Protocol error: invalid multibulk length"},
		{"no count", "*\r\n", "error Protocol error: invalid multibulk length"},
		{"only a sign", "*-\r\n", "error Protocol error: invalid multibulk length"},
		{"NUL in a count", "*1\x00\r\n", "error Protocol error: invalid multibulk length"},
		{"null argument", "*1\r\n$-1\r\n", "error Protocol error: invalid bulk length"},
		{"512 MiB and 1", "*1\r\n$536870913\r\n", "error Protocol error: invalid bulk length"},
		{"bulk of MaxInt64", "*1\r\n$9223372036854775807\r\n", "error Protocol error: invalid bulk length"},
		{"bulk over int64", "*1\r\n$9223372036854775808\r\n", "error Protocol error: invalid bulk length"},
		{"bulk of 20 nines", "*1\r\n$99999999999999999999\r\n", "error Protocol error: invalid bulk length"},
		{"bulk wrapping 32 bits", "*1\r\n$4294967300\r\nPING\r\n", "error Protocol error: invalid bulk length"},
		{"bulk of letters", "*1\r\n$abc\r\n", "error Protocol error: invalid bulk length"},
		{"bulk with zero", "*1\r\n$04\r\nPING\r\n", "error Protocol error: invalid bulk length"},
		{"bulk with plus", "*1\r\n$+4\r\nPING\r\n", "error Protocol error: invalid bulk length"},
		{"no bulk length", "*1\r\n$\r\n\r\n", "error Protocol error: invalid bulk length"},
		{"second bulk bad", "*2\r\n$3\r\nGET\r\n$x\r\n", "error Protocol error: invalid bulk length"},
		{"missing $", "*1\r\n:1\r\n", "error Protocol error: expected '$', got ':'"},
		{"RESP3 in a request", "*1\r\n+PING\r\n", "error Protocol error: expected '$', got '+'"},
		{"nested array", "*1\r\n*1\r\n$4\r\nPING\r\n", "error Protocol error: expected '$', got '*'"},
		{"empty line for a bulk", "*1\r\n\r\n", "error Protocol error: expected '$', got '\r'"},
		{"earlier requests survive", "PING\r\n*1\r\n$-1\r\n", "6 [\"PING\"]\nerror Protocol error: invalid bulk length"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := one(t, c.in, &DefaultLimits); got != c.want {
				t.Errorf("%q:\n%s\nwant\n%s", c.in, got, c.want)
			}
		})
	}
}

// Redis takes any byte for the LF after a CR, and any two for the CR LF after
// a bulk. Who reads it otherwise can be made to see other requests.
func TestRequestsAreRefusedWhereRedisIsLax(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"CR without LF after a count", "*1\rX$4\r\nPING\r\n", "invalid multibulk length"},
		{"LF without CR after a count", "*1\n$4\r\nPING\r\n", "invalid multibulk length"},
		{"CR without LF after a bulk length", "*1\r\n$4\rXPING\r\n", "invalid bulk length"},
		{"LF without CR after a bulk length", "*1\r\n$4\nPING\r\n", "invalid bulk length"},
		{"bulk not followed by CR LF", "*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n", "expected CRLF after bulk"},
		{"bulk followed by CR only", "*1\r\n$4\r\nPING\rx", "expected CRLF after bulk"},
		{"bulk followed by LF CR", "*1\r\n$4\r\nPING\n\r", "expected CRLF after bulk"},
		{"long bulk not followed by CR LF", "*1\r\n$2000\r\n" + strings.Repeat("x", 2002), "expected CRLF after bulk"},
		{"NUL in an inline request", "PING\x00\r\n", "invalid inline request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, want := one(t, c.in, &DefaultLimits), "error Protocol error: "+c.want; got != want {
				t.Errorf("%q: %s, want %s", c.in, got, want)
			}
		})
	}
}

func TestLinesAreLimitedTo64KiB(t *testing.T) {
	t.Parallel()
	digits := strings.Repeat("1", 64<<10)
	for _, c := range []struct{ name, in, want string }{
		{"inline, the longest", digits + "\n", "65537 "},
		{"inline", digits + "1", "error Protocol error: too big inline request"},
		{"inline, complete", digits + "1\r\n", "error Protocol error: too big inline request"},
		{"count, not yet", "*" + digits[1:], "incomplete 65536"},
		{"count", "*" + digits, "error Protocol error: too big mbulk count string"},
		{"count, the longest complete", "*" + digits[1:] + "\r\n", "error Protocol error: invalid multibulk length"},
		{"bulk", "*1\r\n$" + digits, "error Protocol error: too big bulk count string"},
		{"bulk, the longest complete", "*1\r\n$" + digits[1:] + "\r\n", "error Protocol error: invalid bulk length"},
		{"no bulk", "*1\r\n" + digits + "1", "error Protocol error: too big bulk count string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := one(t, c.in, &DefaultLimits); !strings.HasPrefix(got, c.want) {
				t.Errorf("%.100s, want %s", got, c.want)
			}
		})
	}
}

func TestLimitsOfAClient(t *testing.T) {
	t.Parallel()
	small := Limits{MaxBulk: 5, MaxArgs: 3, MaxRequest: 30, MaxInline: 20}
	bulk := func(n int) string { return fmt.Sprintf("$%d\r\n%s\r\n", n, strings.Repeat("x", n)) }
	for _, c := range []struct {
		name string
		lim  *Limits
		in   string
		want string
	}{
		{"bulk fits", &small, "*1\r\n" + bulk(5), "15 [\"xxxxx\"]\nincomplete 0"},
		{"bulk", &small, "*1\r\n" + bulk(6), "error Protocol error: invalid bulk length"},
		{"arguments fit", &small, "*3\r\n" + bulk(1) + bulk(1) + bulk(1), "25 [\"x\" \"x\" \"x\"]\nincomplete 0"},
		{"arguments", &small, "*4\r\n", "error Protocol error: invalid multibulk length"},
		{"request fits", &small, "*3\r\n" + bulk(2) + bulk(2) + bulk(4), "30 [\"xx\" \"xx\" \"xxxx\"]\nincomplete 0"},
		{"request", &small, "*3\r\n" + bulk(2) + bulk(2) + bulk(5), "error Protocol error: too big request"},
		{"line", &small, strings.Repeat("x", 21), "error Protocol error: too big inline request"},
		{"unauthenticated, 10 arguments", &UnauthenticatedLimits, "*10\r\n", "incomplete 5"},
		{"unauthenticated, 11 arguments", &UnauthenticatedLimits, "*11\r\n", "error Protocol error: unauthenticated multibulk length"},
		{"unauthenticated, a wrong count", &UnauthenticatedLimits, "*2147483648\r\n", "error Protocol error: invalid multibulk length"},
		{"unauthenticated, 16384 bytes", &UnauthenticatedLimits, "*1\r\n$16384\r\n", "incomplete 12"},
		{"unauthenticated, 16385 bytes", &UnauthenticatedLimits, "*1\r\n$16385\r\n", "error Protocol error: unauthenticated bulk length"},
		{"unauthenticated, a wrong length", &UnauthenticatedLimits, "*1\r\n$536870913\r\n", "error Protocol error: invalid bulk length"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := feedRequests([]byte(c.in), nil, c.lim); got != c.want {
				t.Errorf("%.100s, want %s", got, c.want)
			}
			if got := feedRequests([]byte(c.in), cut(len(c.in), 1+len(c.in)/1000), c.lim); got != c.want {
				t.Errorf("in pieces: %.100s, want %s", got, c.want)
			}
		})
	}
}

func TestLargestUnauthenticatedRequestFits(t *testing.T) {
	t.Parallel()
	args := make([][]byte, 10)
	for i := range args {
		args[i] = make([]byte, 16<<10)
	}
	in := AppendRequest(nil, args)
	var p RequestParser
	var st RequestState
	n, err := p.Parse(in, &st, &UnauthenticatedLimits)
	if n != len(in) || err != nil {
		t.Errorf("parsed %d of %d bytes, %v", n, len(in), err)
	}
}

func TestOtherProtocolsAreRefusedWithoutExecuting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want error
	}{
		{"POST / HTTP/1.1\r\nHost: redis\r\n", ErrHTTP},
		{"post\n", ErrHTTP},
		{"*1\r\n$4\r\nPoSt\r\n", ErrHTTP},
		{"Host: localhost:6379\r\n", ErrHTTP},
		{"*2\r\n$5\r\nhOST:\r\n$1\r\nx\r\n", ErrHTTP},
		{"GET / HTTP/1.1\r\n", ErrHTTP},
		{"PROXY TCP4 10.0.0.1 10.0.0.2 4711 6379\r\n", ErrPROXY},
		{"PROXY TCP6 ::1 ::1 4711 6379\r\n", ErrPROXY},
		{"PROXY UNKNOWN\r\n", ErrPROXY},
		{"\x00\r\nQUIT\n!", ErrPROXY}, // behind two empty lines
		{"get /a b HTTP/1.0\n", ErrHTTP},
		{"PUT /x HTTP/1.1\r\n", ErrHTTP},
		{"HEAD /x HTTP/1.1\r\n", ErrHTTP},
		{"OPTIONS * HTTP/1.1\r\n", ErrHTTP},
		{"DELETE /x HTTP/1.1\r\n", ErrHTTP},
		{"CONNECT h:1 HTTP/1.1\r\n", ErrHTTP},
		{"PRI * HTTP/2.0\r\n", ErrHTTP},
		{"\x16\x03\x01\x02\x00\x01", ErrTLS},
		{"*3\r\n$3\r\nGET\r\n$1\r\n/\r\n$8\r\nHTTP/1.1\r\n", nil},
		{"GET HTTP/1.1\r\n", nil},
		{"SET a HTTP/1.1\r\n", nil},
		{"HOST: x\r\n", ErrHTTP},
		{"host x\r\n", nil},
		{"posts\r\n", nil},
		{"\x16\r\n", nil},
	} {
		var p RequestParser
		var st RequestState
		n, err := p.Parse([]byte(c.in), &st, &DefaultLimits)
		if !errors.Is(err, c.want) || (n == 0) != (c.want != nil) {
			t.Errorf("%q: %d, %v, want %v", c.in, n, err, c.want)
		}
		one(t, c.in, &DefaultLimits)
	}
	if e := (*ProtocolError)(nil); errors.As(ErrHTTP, &e) || !errors.As(ErrTLS, &e) {
		t.Error("a TLS client is told, an HTTP client is not")
	}
}

func TestNeedIsALowerBound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want int
	}{
		{"*2\r\n$3\r\nGET\r\n$1000\r\nabc", 4 + 9 + 7 + 1002},
		{"*3\r\n$500000000\r\n", 4 + 12 + 500000002 + 2*minArg},
		{"*100000000\r\n", 13 + 99999999*minArg},
		{"*2", 3},
		{"PING", 5},
	} {
		var p RequestParser
		var st RequestState
		if n, err := p.Parse([]byte(c.in), &st, &DefaultLimits); n != 0 || err != nil {
			t.Fatalf("%q: %d, %v", c.in, n, err)
		}
		if got := st.Need(); got != c.want {
			t.Errorf("%q: needs %d, want %d", c.in, got, c.want)
		}
	}
	if got := new(RequestState).Need(); got != 0 {
		t.Errorf("at a start: %d", got)
	}
}

// A request of a million arguments in pieces must cost a million steps, not a
// million for every piece. Nothing is timed: what has been checked is spoilt,
// so that a second look at it would end in an error.
func TestCheckedBytesAreNotReadAgainUntilTheRequestIsComplete(t *testing.T) {
	t.Parallel()
	const count, piece = 1 << 20, 64 << 10
	args := make([][]byte, count)
	for i := range args {
		args[i] = fmt.Append(nil, i)
	}
	whole := AppendRequest(nil, args)
	b := make([]byte, 0, len(whole))
	var p RequestParser
	var st RequestState
	spoilt := 0
	for len(b)+piece < len(whole) {
		b = append(b, whole[len(b):len(b)+piece]...)
		if n, err := p.Parse(b, &st, &DefaultLimits); n != 0 || err != nil {
			t.Fatalf("after %d of %d bytes: %d, %v", len(b), len(whole), n, err)
		}
		if len(b)-st.pos > 2*minArg+len("1048575") {
			t.Fatalf("%d bytes left unchecked", len(b)-st.pos)
		}
		for ; spoilt < st.pos; spoilt++ {
			b[spoilt] = '?'
		}
	}
	if n, err := p.Parse(whole, &st, &DefaultLimits); n != len(whole) || err != nil || len(p.Args) != count {
		t.Fatalf("%d of %d bytes, %d arguments, %v", n, len(whole), len(p.Args), err)
	}
	for i, a := range p.Args {
		if !bytes.Equal(a, args[i]) {
			t.Fatalf("argument %d is %q", i, a)
		}
	}
}

// The same for a large bulk and for a line without an end: while they are
// incomplete, Parse has no business with bytes it has seen.
func TestIncompleteBulkAndLineAreNotReadAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in string }{
		{"bulk", "*1\r\n$65000\r\n" + strings.Repeat("x", 65000)},
		{"inline", strings.Repeat("x", 65000)},
		{"count", "*" + strings.Repeat("1", 65000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p RequestParser
			var st RequestState
			b := []byte(c.in)
			for i := 20; i < len(b); i += 100 {
				if n, err := p.Parse(b[:i], &st, &DefaultLimits); n != 0 || err != nil {
					t.Fatalf("after %d bytes: %d, %v", i, n, err)
				}
				// A line end where none was, but not in a bulk's header.
				for j := max(12, i-100); j < i; j++ {
					b[j] = "\r\n"[j%2]
				}
			}
		})
	}
}

func TestAnnouncedSizesReserveNothing(t *testing.T) {
	var p RequestParser
	for _, in := range []string{"*1048576\r\n", "*2147483647\r\n$1\r\n", "*1\r\n$536870912\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nx"} {
		b := []byte(in)
		p.Parse(b, new(RequestState), &DefaultLimits) // grows Args to what is there
		allocs := testing.AllocsPerRun(10, func() {
			var st RequestState
			if n, err := p.Parse(b, &st, &DefaultLimits); n != 0 || err != nil {
				t.Fatalf("%q: %d, %v", in, n, err)
			}
		})
		if allocs != 0 || cap(p.Args) > 8 {
			t.Errorf("%q: %v allocations, room for %d arguments", in, allocs, cap(p.Args))
		}
	}
}

func TestSteadyParsingDoesNotAllocate(t *testing.T) {
	get := request("GET", "key:000001")
	set := request("SET", "key:000001", strings.Repeat("v", 5000))
	inline := []byte("SET key \"a b\"\r\n")
	b := bytes.Repeat(append(append(bytes.Clone(get), set...), inline...), 20)
	var p RequestParser
	var st RequestState
	parse := func() {
		for rest := b; len(rest) > 0; {
			// Half a request first, as at the end of a read.
			if n, err := p.Parse(rest[:10], &st, &DefaultLimits); n != 0 || err != nil {
				t.Fatal(n, err)
			}
			n, err := p.Parse(rest, &st, &DefaultLimits)
			if n == 0 || err != nil {
				t.Fatal(n, err)
			}
			rest = rest[n:]
		}
		p.Release()
	}
	parse()
	if allocs := testing.AllocsPerRun(100, parse); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestScratchIsGivenBack(t *testing.T) {
	t.Parallel()
	var p RequestParser
	var st RequestState
	parse := func(in []byte) {
		t.Helper()
		if n, err := p.Parse(in, &st, &DefaultLimits); n != len(in) || err != nil {
			t.Fatal(n, err)
		}
	}
	big, _ := mget(2 * maxKeptArgs)
	parse(big)
	parse(request("GET", "k"))
	if cap(p.Args) > maxKeptArgs {
		t.Errorf("room for %d arguments kept", cap(p.Args))
	}
	parse(request("SET", "k", "v"))
	parse(request("GET", "k"))
	p.Release()
	for i, a := range p.Args[:cap(p.Args)] {
		if a != nil {
			t.Errorf("slot %d still points at %q", i, a)
		}
	}
}

// TestKnownStaysWhileRequestsBeginAlike gives a parser one request after another,
// sets Known for each and checks what is left of it at the next.
func TestKnownStaysWhileRequestsBeginAlike(t *testing.T) {
	get := string(request("GET", "a"))
	for _, test := range []struct {
		name, first, second string
		stays               bool
	}{
		{"the same request", get, get, true},
		{"another key", get, string(request("GET", strings.Repeat("k", 1000))), true},
		{"another name", get, string(request("SET", "a")), false},
		{"another case", get, string(request("get", "a")), false},
		{"a longer name", get, string(request("GETX", "a")), false},
		{"more arguments", get, string(request("GET", "a", "b")), false},
		{"six bytes", string(request("HGETAL", "a")), string(request("HGETAL", "b")), true},
		{"six bytes that differ at the end", string(request("HGETAL", "a")), string(request("HGETAM", "b")), false},
		{"six bytes that differ at the start", string(request("HGETAL", "a")), string(request("JGETAL", "b")), false},
		{"a long name", string(request("HGETALL", "a")), string(request("HGETALL", "b")), false},
		{"one byte", string(request("X", "abcdef")), string(request("X", "abcdef")), true},
		{"an empty name", "*1\r\n$0\r\n\r\n", "*1\r\n$0\r\n\r\n", false},
		{"short requests", "*1\r\n$1\r\nx\r\n", "*1\r\n$1\r\nx\r\n", false},
		{"two digits", string(request(strings.Fields("PUT 2 3 4 5 6 7 8 9 10")...)), string(request(strings.Fields("PUT 2 3 4 5 6 7 8 9 10")...)), false},
		{"inline", "GET a\r\n", "GET a\r\n", false},
		{"inline behind an array", get, "GET a\r\n", false},
		{"nothing", get, "*0\r\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p RequestParser
			for i, in := range []string{test.first, test.second} {
				n, err := p.Parse([]byte(in), new(RequestState), &DefaultLimits)
				if n != len(in) || err != nil {
					t.Fatalf("%q: %d, %v", in, n, err)
				}
				if i == 1 && (p.Known != 0) != test.stays {
					t.Errorf("Known is %d", p.Known)
				}
				p.Known = 7
			}
		})
	}
}

func TestWhatBeginsAlikeIsCheckedAllTheSame(t *testing.T) {
	var p RequestParser
	get := []byte("*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
	p.Parse(get, new(RequestState), &DefaultLimits)
	few := DefaultLimits
	few.MaxArgs = 1
	if n, err := p.Parse(get, new(RequestState), &few); n != 0 || err == nil {
		t.Errorf("more arguments than the client may have: %d, %v", n, err)
	}
	p.Parse(get, new(RequestState), &DefaultLimits)
	if n, err := p.Parse([]byte("*2\r\n$3\r\nGET\r\n$1\r\naa\r"), new(RequestState), &DefaultLimits); n != 0 || err == nil {
		t.Errorf("an argument that is longer than announced: %d, %v", n, err)
	}
	var st RequestState
	if n, err := p.Parse([]byte("*2\r\n$3\r\nGET\r\n$9\r\na"), &st, &DefaultLimits); n != 0 || err != nil || len(p.Args) != 0 {
		t.Errorf("a part of a request: %d, %v, %q", n, err, p.Args)
	}
	for range 2 { // what attacks is not remembered as harmless
		if _, err := p.Parse([]byte("*2\r\n$4\r\nPOST\r\n$1\r\na\r\n"), new(RequestState), &DefaultLimits); err != ErrHTTP {
			t.Errorf("POST: %v", err)
		}
	}
}

func TestArgumentsCannotGrowIntoEachOther(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "GET k\r\n", "'GET' \"k\"\r\n"} {
		var p RequestParser
		if _, err := p.Parse([]byte(in), new(RequestState), &DefaultLimits); err != nil {
			t.Fatal(err)
		}
		_ = append(p.Args[0], "XXXXXXXXXXXX"...)
		if string(p.Args[1]) != "k" {
			t.Errorf("%q: second argument became %q", in, p.Args[1])
		}
	}
}

func TestShrinkingLimitsInsideARequestAreSurvived(t *testing.T) {
	t.Parallel()
	tiny := Limits{MaxBulk: 1, MaxArgs: 1, MaxRequest: 1, MaxInline: 1}
	for _, in := range []string{"PING PING\r\n", "*00000000\r\n", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"} {
		for i := 1; i < len(in); i++ {
			var p RequestParser
			var st RequestState
			p.Parse([]byte(in[:i]), &st, &DefaultLimits)
			if n, err := p.Parse([]byte(in), &st, &tiny); n != 0 || err == nil {
				t.Errorf("%q cut at %d: %d, %v", in, i, n, err)
			}
		}
	}
}

func TestAppendRequestIsWhatParseReads(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"PING"}, {""}, {"SET", "a\r\nb", "\x00\xff"}, {"SET", "k", strings.Repeat("x", 100001)}} {
		in := request(args...)
		var p RequestParser
		n, err := p.Parse(in, new(RequestState), &DefaultLimits)
		if n != len(in) || err != nil || fmt.Sprintf("%q", p.Args) != fmt.Sprintf("%q", args) {
			t.Errorf("%.50q: %d, %v, %.50q", args, n, err, p.Args)
		}
	}
	if got := AppendRequest([]byte("x"), nil); string(got) != "x" {
		t.Errorf("no arguments: %q", got)
	}
}

func TestAppendErrorIsOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ERR no such key":         "-ERR no such key\r\n",
		"ERR 'a\r\n+OK\r\n' x":    "-ERR 'a  +OK  ' x\r\n",
		errNoDollar('\r').Error(): "-Protocol error: expected '$', got ' '\r\n",
	} {
		got := AppendError(nil, text)
		if string(got) != want || ReplyLen(got) != len(got) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// The room for many arguments is made at once, when they are all there.
func TestManyArgumentsCostOneAllocation(t *testing.T) {
	const n = 10 * maxKeptArgs / 2
	request := []byte(fmt.Sprintf("*%d\r\n%s", n, strings.Repeat("$1\r\na\r\n", n)))
	if got := testing.AllocsPerRun(3, func() {
		p, st := RequestParser{}, RequestState{}
		if size, err := p.Parse(request, &st, &DefaultLimits); size != len(request) || err != nil || len(p.Args) != n {
			t.Fatal(size, err, len(p.Args))
		}
	}); got > 1 {
		t.Errorf("%v allocations", got)
	}
	p, st := RequestParser{}, RequestState{}
	p.Parse(request[:1000], &st, &DefaultLimits) // only announced
	if cap(p.Args) > 1000 {
		t.Errorf("room for %d arguments before they were there", cap(p.Args))
	}
}
