package join

import (
	"math"
	"strconv"
	"testing"
)

func TestCursorsHoldTheServersIndex(t *testing.T) {
	t.Parallel()
	f := func(own uint64, server, servers int, want uint64, ok bool) {
		t.Helper()
		got, fits := NextCursor(own, server, servers)
		if fits != ok || ok && got != want {
			t.Errorf("cursor %d of server %d of %d: %d, %v", own, server, servers, got, fits)
		}
	}
	f(0, 0, 4, 1, true)
	f(0, 2, 4, 3, true)
	f(0, 3, 4, 0, true)
	f(7, 3, 4, 31, true)
	f(math.MaxUint64/5, 0, 5, math.MaxUint64, true)
	f(math.MaxUint64/5, 1, 5, 0, false)
	f(math.MaxUint64, 0, 2, 0, false)
}

// A cursor that was handed out leads back to where it came from.
func FuzzCursorsLeadBack(f *testing.F) {
	f.Add(uint64(1), uint8(0), uint8(2))
	f.Add(uint64(math.MaxUint64), uint8(3), uint8(1))
	f.Fuzz(func(t *testing.T, own uint64, server, more uint8) {
		servers := int(server) + int(more) + 1
		next, ok := NextCursor(own, int(server), servers)
		if !ok || own == 0 {
			return
		}
		back, ok := ParseCursor(strconv.AppendUint(nil, next, 10))
		at, theirs := SplitCursor(back, servers)
		if !ok || at != int(server) || theirs != own {
			t.Errorf("%d of server %d of %d became %d", own, server, servers, next)
		}
	})
}

func TestCursorsAreReadAsByRedis(t *testing.T) {
	t.Parallel()
	f := func(in string, want uint64, ok bool) {
		t.Helper()
		if got, fits := ParseCursor([]byte(in)); fits != ok || ok && got != want {
			t.Errorf("%q: %d, %v", in, got, fits)
		}
	}
	f("", 0, true)
	f("17", 17, true)
	f("007", 7, true)
	f("+5", 5, true)
	f("-1", math.MaxUint64, true)
	f("1\x00x", 1, true)
	f("18446744073709551615", math.MaxUint64, true)
	f("18446744073709551616", 0, false)
	f("x", 0, false)
	f(" 1", 0, false)
	f("-", 0, false)
	f("--1", 0, false)
}

func TestScanRepliesGetTheClientsCursor(t *testing.T) {
	t.Parallel()
	f := func(in string, cursor uint64, rest string, ok bool) {
		t.Helper()
		got, left, fits := SplitScan([]byte(in))
		if fits != ok || ok && (got != cursor || string(left) != rest) {
			t.Errorf("%q: %d, %q, %v", in, got, left, fits)
		}
	}
	f("*2\r\n$1\r\n7\r\n*1\r\n$1\r\na\r\n", 7, "*1\r\n$1\r\na\r\n", true)
	f("*2\r\n$1\r\n7\r\n*1000\r\n$1\r", 7, "*1000\r\n$1\r", true)
	f("*2\r\n$20\r\n18446744073709551615\r\n", math.MaxUint64, "", true)
	f("*3\r\n$1\r\n7\r\n*0\r\n", 0, "", false)
	f("*2\r\n:7\r\n*0\r\n", 0, "", false)
	f("*2\r\n$-1\r\n*0\r\n", 0, "", false)
	f("*2\r\n$2\r\n-7\r\n*0\r\n", 0, "", false)
	f("*2\r\n$9\r\n7\r\n", 0, "", false)
	f("*-1\r\n", 0, "", false)
	f("+OK\r\n", 0, "", false)
	if got := AppendEmptyScan(nil, math.MaxUint64); string(got) != "*2\r\n$20\r\n18446744073709551615\r\n*0\r\n" {
		t.Errorf("%q", got)
	}
}

func FuzzScanReplies(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\n7\r\n*1\r\n$1\r\na\r\n"))
	f.Add([]byte("*2\r\n:7\r\n*0\r\n"))
	f.Add([]byte("*-1\r\n"))
	f.Add([]byte("*2\r\n$-1\r\n*0\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		cursor, rest, ok := SplitScan(b)
		if ok && (len(rest) >= len(b) || cursor > 0 && len(b)-len(rest) < len("*2\r\n$1\r\n1\r\n")) {
			t.Errorf("%q: cursor %d, rest %q", b, cursor, rest)
		}
	})
}
