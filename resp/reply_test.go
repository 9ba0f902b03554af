package resp

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// oneReply scans in, cut in all the ways that short inputs allow, and fails if
// they differ. It returns what feedReplies saw.
func oneReply(t *testing.T, in string, lim *ReplyLimits) string {
	t.Helper()
	whole := feedReplies([]byte(in), nil, lim)
	if got := feedReplies([]byte(in), cut(len(in), 1), lim); got != whole {
		t.Errorf("%.80q byte by byte: %s, want %s", in, got, whole)
	}
	for i := 1; i < len(in) && len(in) < 3000; i++ {
		if got := feedReplies([]byte(in), []int{i}, lim); got != whole {
			t.Errorf("%.80q cut at %d: %s, want %s", in, i, got, whole)
		}
	}
	return whole
}

// wellFormed are replies of every type, each one whole.
var wellFormed = []string{
	"+OK\r\n", "+\r\n", "+PONG\r\n", "+" + strings.Repeat("long", 600) + "\r\n",
	"-ERR x\r\n", "-" + strings.Repeat("E", 1022) + "\r\n", "-" + strings.Repeat("E", 1023) + "\r\n",
	":0\r\n", ":-1\r\n", ":12345\r\n", ":9223372036854775807\r\n", ":-9223372036854775808\r\n",
	"$-1\r\n", "$0\r\n\r\n", "$1\r\na\r\n", "$11\r\nHello World\r\n", "$2\r\n\r\n\r\n",
	"$99999\r\n" + strings.Repeat("x", 99999) + "\r\n", "$100000\r\n" + strings.Repeat("x", 100000) + "\r\n",
	"*-1\r\n", "*0\r\n", "*3\r\n:0\r\n:1\r\n:2\r\n", "*2\r\n$-1\r\n*-1\r\n", "*2\r\n*1\r\n*0\r\n*1\r\n+a\r\n",
	"_\r\n", "#t\r\n", "#f\r\n",
	",3.141\r\n", ",-1\r\n", ",+1.5e+300\r\n", ",1E5\r\n", ",inf\r\n", ",-inf\r\n", ",nan\r\n", ",-nan\r\n", ",NAN\r\n",
	",-1.7976931348623157e+308\r\n",
	"(1234567999999999999999999999999999999\r\n", "(-1\r\n",
	"!21\r\nSYNTAX invalid syntax\r\n", "=29\r\ntxt:This is a verbatim\nstring\r\n", "=4\r\ntxt:\r\n",
	"~3\r\n:0\r\n:1\r\n:2\r\n", "~0\r\n", "%0\r\n", "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n",
	"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply following the attribute\r\n",
	"|0\r\n+a\r\n", "|1\r\n+a\r\n+b\r\n|1\r\n+c\r\n+d\r\n*0\r\n",
	"*2\r\n|1\r\n+k\r\n|1\r\n+x\r\n+y\r\n+v\r\n:1\r\n:2\r\n", "%1\r\n|1\r\n+a\r\n+b\r\n+k\r\n*1\r\n+v\r\n",
	"*1\r\n|2\r\n+a\r\n*1\r\n_\r\n+b\r\n%1\r\n_\r\n_\r\n$1\r\nx\r\n",
	"$?\r\n;4\r\nHell\r\n;5\r\no wor\r\n;1\r\nd\r\n;0\r\n", "$?\r\n;0\r\n",
	"*?\r\n:1\r\n:2\r\n.\r\n", "*?\r\n.\r\n", "~?\r\n+a\r\n.\r\n", "%?\r\n+a\r\n:1\r\n.\r\n", "%?\r\n.\r\n",
	"*2\r\n*?\r\n$?\r\n;1\r\na\r\n;0\r\n.\r\n%?\r\n*?\r\n.\r\n|1\r\n+a\r\n+b\r\n:1\r\n.\r\n",
	strings.Repeat("*1\r\n", 8192) + ":1\r\n",
}

var wellFormedPushes = []string{
	">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n", ">0\r\n", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
	"|1\r\n+a\r\n+b\r\n>1\r\n_\r\n", ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
}

func TestRepliesOfAllTypesAreFramed(t *testing.T) {
	t.Parallel()
	check := func(in string, push bool) {
		want := fmt.Sprintf("%d %v\n", len(in), push)
		if len(in) > 5000 {
			// Too long for every cut.
			for _, size := range []int{len(in), 1, 1000, 4097} {
				if got := feedReplies([]byte(in+in), cut(2*len(in), size), &DefaultReplyLimits); got != want+want+"incomplete" {
					t.Errorf("%.80q by %d: %.80s, want twice %s", in, size, got, want)
				}
			}
			return
		}
		if got := oneReply(t, in+"+OK\r\n", &DefaultReplyLimits); got != want+"5 false\nincomplete" {
			t.Errorf("%.80q: %s, want %s", in, got, want)
		}
	}
	for _, in := range wellFormed {
		check(in, false)
	}
	for _, in := range wellFormedPushes {
		check(in, true)
	}
}

func TestMalformedRepliesAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"OK\r\n", `server sent a reply of unknown type 'O'`},
		{"\r\n", `server sent a reply of unknown type '\r'`},
		{"\x00", `server sent a reply of unknown type '\x00'`},
		{"HTTP/1.1 400 Bad Request\r\n", `server sent a reply of unknown type 'H'`},
		{"+O\nK\r\n", "server sent a line break inside a line of text"},
		{"+O\rK\r\n", "server sent a line break inside a line of text"},
		{"+OK\n", "server sent a line break inside a line of text"},
		{"-ERR a\r\r\n", "server sent a line break inside a line of text"},
		{"(1\n2\r\n", "server sent a line break inside a line of text"},
		{"-" + strings.Repeat("x", 2000) + "\n\r\n", "server sent a line break inside a line of text"},
		{"-" + strings.Repeat("x", 2000) + "\rx", "server sent a line break inside a line of text"},
		{":\r\n", `server sent an invalid line ":"`},
		{":+1\r\n", `server sent an invalid line ":+1"`},
		{":01\r\n", `server sent an invalid line ":01"`},
		{":-0\r\n", `server sent an invalid line ":-0"`},
		{":1 \r\n", `server sent an invalid line ":1 "`},
		{":1a\r\n", `server sent an invalid line ":1a"`},
		{":9223372036854775808\r\n", `server sent an invalid line ":9223372036854775808"`},
		{":1\rx", "server sent a line that does not end with CR LF"},
		{":1\n", ""},
		{":" + strings.Repeat("1", 100), "server sent a line that is too long for its type"},
		{"$-2\r\n", `server sent an invalid line "$-2"`},
		{"$01\r\na\r\n", `server sent an invalid line "$01"`},
		{"$+1\r\na\r\n", `server sent an invalid line "$+1"`},
		{"$\r\n", `server sent an invalid line "$"`},
		{"$a\r\n", `server sent an invalid line "$a"`},
		{"$??\r\n", `server sent an invalid line "$??"`},
		{"$99999999999999999999\r\n", `server sent an invalid line "$99999999999999999999"`},
		{"$9223372036854775807\r\n", "server sent a bulk of 9223372036854775807 bytes, limit 1073741824"},
		{"$1\rxa\r\n", "server sent a line that does not end with CR LF"},
		{"$1\r\naXY", "server sent a bulk that does not end with CR LF"},
		{"$1\r\na\rY", "server sent a bulk that does not end with CR LF"},
		{"$3\r\na\r\n+x\r\n", "server sent a bulk that does not end with CR LF"},
		{"!-1\r\n", `server sent an invalid line "!-1"`},
		{"=-1\r\n", `server sent an invalid line "=-1"`},
		{"=3\r\ntxt\r\n", `server sent an invalid line "=3"`},
		{"=?\r\n", `server sent an invalid line "=?"`},
		{"*-2\r\n", `server sent an invalid line "*-2"`},
		{"*01\r\n", `server sent an invalid line "*01"`},
		{"*\r\n", `server sent an invalid line "*"`},
		{"%-1\r\n", `server sent an invalid line "%-1"`},
		{"~-1\r\n", `server sent an invalid line "~-1"`},
		{">-1\r\n", `server sent an invalid line ">-1"`},
		{">?\r\n", `server sent an invalid line ">?"`},
		{"|?\r\n", `server sent an invalid line "|?"`},
		{"*9999999999\r\n", "server sent a reply of more than 4294967296 elements"},
		{"*9223372036854775807\r\n", "server sent a reply of more than 4294967296 elements"},
		{"%4000000000\r\n", "server sent a reply of more than 4294967296 elements"},
		{"*1\r\n>1\r\n:1\r\n", "server sent a push inside a reply"},
		{"_x\r\n", `server sent an invalid line "_x"`},
		{"#\r\n", `server sent an invalid line "#"`},
		{"#T\r\n", `server sent an invalid line "#T"`},
		{"#tt\r\n", `server sent an invalid line "#tt"`},
		{",\r\n", `server sent an invalid line ","`},
		{",1.\r\n", `server sent an invalid line ",1."`},
		{",.5\r\n", `server sent an invalid line ",.5"`},
		{",1e\r\n", `server sent an invalid line ",1e"`},
		{",1e5x\r\n", `server sent an invalid line ",1e5x"`},
		{",1,5\r\n", `server sent an invalid line ",1,5"`},
		{",infinity\r\n", `server sent an invalid line ",infinity"`},
		{".\r\n", "server ended an aggregate that is not complete"},
		{"*1\r\n.\r\n", "server ended an aggregate that is not complete"},
		{"*?\r\n.x\r\n", "server ended an aggregate that is not complete"},
		{"%?\r\n+a\r\n.\r\n", "server ended an aggregate that is not complete"},
		{"*?\r\n|1\r\n+a\r\n+b\r\n.\r\n", "server ended an aggregate that is not complete"},
		{"*?\r\n|0\r\n.\r\n", "server ended an aggregate that is not complete"},
		{"*?\r\n|1\r\n+a\r\n.\r\n", "server ended an aggregate that is not complete"},
		{";1\r\na\r\n", `server sent a reply of unknown type ';'`},
		{"$?\r\n$1\r\na\r\n", `server sent "$1" in a streamed string`},
		{"$?\r\n;-1\r\n", `server sent ";-1" in a streamed string`},
		{"$?\r\n;1\r\nax\r", "server sent a bulk that does not end with CR LF"},
		{strings.Repeat("*1\r\n", 8193) + ":1\r\n", "server sent a reply nested more than 8192 deep"},
	} {
		want := "error Protocol error: " + c.want
		if c.want == "" {
			want = "incomplete"
		}
		if len(c.in) > 5000 {
			if got := feedReplies([]byte(c.in), nil, &DefaultReplyLimits); got != want {
				t.Errorf("%.80q: %s, want %s", c.in, got, want)
			}
			continue
		}
		if got := oneReply(t, c.in, &DefaultReplyLimits); got != want {
			t.Errorf("%.80q: %s, want %s", c.in, got, want)
		}
		if n := ReplyLen([]byte(c.in)); n != 0 {
			t.Errorf("%.80q: ReplyLen is %d", c.in, n)
		}
	}
}

func TestLimitsOfAServer(t *testing.T) {
	t.Parallel()
	lim := ReplyLimits{MaxDepth: 2, MaxBulk: 5, MaxElements: 6, MaxLine: 8}
	for _, c := range []struct{ in, want string }{
		{"$5\r\nxxxxx\r\n", "11 false\nincomplete"},
		{"$6\r\nxxxxxx\r\n", "error Protocol error: server sent a bulk of 6 bytes, limit 5"},
		{"$?\r\n;3\r\nxxx\r\n;2\r\nxx\r\n;0\r\n", "25 false\nincomplete"},
		{"$?\r\n;3\r\nxxx\r\n;3\r\nxxx\r\n;0\r\n", "error Protocol error: server streamed a string of more than 5 bytes"},
		{"+1234567\r\n", "10 false\nincomplete"},
		{"+12345678\r\n", "error Protocol error: server sent a line of more than 8 bytes"},
		{"*1\r\n*1\r\n:1\r\n", "12 false\nincomplete"},
		{"*1\r\n*1\r\n*0\r\n", "error Protocol error: server sent a reply nested more than 2 deep"},
		{"%3\r\n_\r\n_\r\n_\r\n_\r\n_\r\n_\r\n", "22 false\nincomplete"},
		{"*7\r\n", "error Protocol error: server sent a reply of more than 6 elements"},
		{"%4\r\n", "error Protocol error: server sent a reply of more than 6 elements"},
		{"*3\r\n*4\r\n", "error Protocol error: server sent a reply of more than 6 elements"},
		{"*?\r\n_\r\n_\r\n_\r\n_\r\n_\r\n_\r\n.\r\n", "25 false\nincomplete"},
		{"*?\r\n_\r\n_\r\n_\r\n_\r\n_\r\n_\r\n_\r\n.\r\n", "error Protocol error: server sent a reply of more than 6 elements"},
	} {
		if got := oneReply(t, c.in, &lim); got != c.want {
			t.Errorf("%q: %s, want %s", c.in, got, c.want)
		}
	}
}

// Limits that are smaller than a line's framing leave the short way unused.
func TestTinyLimitsLetTinyRepliesThrough(t *testing.T) {
	t.Parallel()
	lim := ReplyLimits{MaxDepth: 1, MaxBulk: 1, MaxElements: 9, MaxLine: 2}
	const in = "*9\r\n$-1\r\n*-1\r\n_\r\n:12\r\n$1\r\na\r\n$0\r\n\r\n+a\r\n-\r\n#t\r\n"
	if got, want := oneReply(t, in, &lim), fmt.Sprintf("%d false\nincomplete", len(in)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestEndlessLineIsLimited(t *testing.T) {
	t.Parallel()
	lim := DefaultReplyLimits
	lim.MaxLine = 5000
	var s ReplyState
	piece := bytes.Repeat([]byte("x"), 1500)
	piece[0] = '-'
	for i := range 10 {
		n, done, err := s.Scan(piece, &lim)
		if err != nil {
			if i != 3 {
				t.Errorf("refused at piece %d", i)
			}
			return
		}
		if n != len(piece) || done {
			t.Fatalf("piece %d: %d, %v", i, n, done)
		}
	}
	t.Error("accepted")
}

// What can be passed on must not wait for the rest.
func TestLargeRepliesArePassedOnAsTheyArrive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in string
		n  int
	}{
		{"$10\r\nabc", 8},
		{"$10\r\n", 5},
		{"$10\r", 0},
		{"$3\r\nabc", 7},
		{"$3\r\nabc\r", 8},
		{"*2\r\n$1\r\na\r\n$1", 11},
		{"*2\r\n", 4},
		{"-ERR short", 0},
		{"-" + strings.Repeat("x", 1022), 0},
		{"-" + strings.Repeat("x", 1023), 1024},
		{"-" + strings.Repeat("x", 5000) + "\r", 5001},
		{"=1000\r\ntxt:", 11},
		{"$?\r\n;10\r\nabc", 12},
	} {
		var s ReplyState
		n, done, err := s.Scan([]byte(c.in), &DefaultReplyLimits)
		if n != c.n || done || err != nil {
			t.Errorf("%.40q: %d, %v, %v, want %d", c.in, n, done, err, c.n)
		}
	}
}

func TestPushIsToldFromReply(t *testing.T) {
	t.Parallel()
	var s ReplyState
	for i, in := range []string{">1\r\n_\r\n", "+OK\r\n", ">1\r\n:1\r\n", ">1\r\n:2\r\n", "*1\r\n:1\r\n"} {
		if _, done, err := s.Scan([]byte(in), &DefaultReplyLimits); !done || err != nil || s.Push() != (in[0] == '>') {
			t.Errorf("%d, %q: %v, %v, push %v", i, in, done, err, s.Push())
		}
	}
}

func TestScanningDoesNotAllocate(t *testing.T) {
	_, arrays := mget(50)
	in := append(arrays, "%1\r\n+a\r\n*1\r\n*2\r\n:1\r\n$-1\r\n$5\r\nhello\r\n-ERR x\r\n,1.5\r\n:7\r\n|1\r\n_\r\n_\r\n#t\r\n"...)
	var s ReplyState
	scan := func() {
		for at, rest := 0, in; len(rest) > 0; at++ {
			// Cut differently every time, so that all ways of resuming are used.
			n, _, err := s.Scan(rest[:min(len(rest), 8+at%90)], &DefaultReplyLimits)
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
	}
	scan()
	if allocs := testing.AllocsPerRun(100, scan); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestDeepStackIsGivenBack(t *testing.T) {
	t.Parallel()
	var s ReplyState
	in := strings.Repeat("*1\r\n", 4000) + ":1\r\n"
	if _, done, err := s.Scan([]byte(in), &DefaultReplyLimits); !done || err != nil || cap(s.stack) > keptDepth {
		t.Errorf("%v, %v, room for %d levels", done, err, cap(s.stack))
	}
}

func TestReplyLenKnowsTheUsualReplies(t *testing.T) {
	t.Parallel()
	for _, in := range wellFormed {
		n := ReplyLen([]byte(in + "+rest\r\n"))
		switch in[0] {
		case '+', '-', '_':
			if n != len(in) {
				t.Errorf("%.40q: %d, want %d", in, n, len(in))
			}
		case ':':
			if n != len(in) && len(in) < 21 {
				t.Errorf("%.40q: %d, want %d", in, n, len(in))
			}
		case '$':
			if n != len(in) && in[1] != '?' {
				t.Errorf("%.40q: %d, want %d", in, n, len(in))
			}
		default:
			if n != 0 {
				t.Errorf("%.40q: %d, want 0", in, n)
			}
		}
		for i := range min(len(in), 100) {
			if n := ReplyLen([]byte(in[:i])); n != 0 {
				t.Errorf("%.40q: %d", in[:i], n)
			}
		}
	}
}
