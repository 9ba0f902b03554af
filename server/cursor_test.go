package server

import (
	"math"
	"strconv"
	"testing"
)

func TestCursorsHoldTheServersIndex(t *testing.T) {
	f := func(own uint64, server, servers int, want uint64, ok bool) {
		t.Helper()
		got, fits := nextCursor(own, server, servers)
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
		next, ok := nextCursor(own, int(server), servers)
		if !ok || own == 0 {
			return
		}
		back, ok := parseCursor(strconv.AppendUint(nil, next, 10))
		if !ok || back%uint64(servers) != uint64(server) || back/uint64(servers) != own {
			t.Errorf("%d of server %d of %d became %d", own, server, servers, next)
		}
	})
}

func FuzzScanReplies(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\n7\r\n*1\r\n$1\r\na\r\n"))
	f.Add([]byte("*2\r\n:7\r\n*0\r\n"))
	f.Add([]byte("*-1\r\n"))
	f.Add([]byte("*2\r\n$-1\r\n*0\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		cursor, rest, ok := cutScanReply(b)
		if ok && (len(rest) >= len(b) || cursor > 0 && len(b)-len(rest) < len("*2\r\n$1\r\n1\r\n")) {
			t.Errorf("%q: cursor %d, rest %q", b, cursor, rest)
		}
	})
}

func TestCursorsOfAClusterLeadBack(t *testing.T) {
	f := func(at clusterCursor, fits bool) {
		t.Helper()
		n, ok := at.encode()
		if ok != fits || ok && clusterCursorOf(n) != at {
			t.Errorf("%+v became %d, %v, and that %+v", at, n, ok, clusterCursorOf(n))
		}
	}
	f(clusterCursor{}, true)
	f(clusterCursor{shard: 1000, pass: 2, sum: 4094, own: 1<<40 - 1}, true)
	f(clusterCursor{shard: scanChecks, sum: 7}, true)
	f(clusterCursor{shard: 1, own: 1 << 40}, false)

	if got, want := (clusterCursor{shard: 1, sum: 5, own: 9}).next(0, 2), (clusterCursor{shard: scanChecks, sum: 5}); got != want {
		t.Errorf("after the last shard: %+v, want %+v", got, want)
	}
	if got, want := (clusterCursor{sum: 5, own: 9}).next(7, 2), (clusterCursor{sum: 5, own: 7}); got != want {
		t.Errorf("within a shard: %+v, want %+v", got, want)
	}
}

func TestChecksumOfSlotsTellsMovesFromRest(t *testing.T) {
	said := func(slots string) []byte {
		return []byte("$99\r\na1 127.0.0.1:1@2 master - 0 0 3 connected 9\nb2 127.0.0.1:3@4 myself,master - 0 0 7 connected " + slots + "\n\r\n")
	}
	rest := slotSum([][]byte{said("0-5 7")})
	if rest == sumMoving || rest == sumUnknown || rest != slotSum([][]byte{said("0-5 7")}) {
		t.Errorf("at rest: %d", rest)
	}
	for _, test := range []struct {
		name  string
		reply []byte
		want  uint32
	}{
		{"a slot on its way", said("0-5 7 [9-<-a1]"), sumMoving},
		{"a refusal", []byte("-NOPERM this user has no permissions to run the 'cluster|nodes' command\r\n"), sumUnknown},
		{"nonsense", []byte("$3\r\nabc\r\n"), sumUnknown},
		{"nothing", nil, sumUnknown},
	} {
		if got := slotSum([][]byte{test.reply}); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
	if got := slotSum([][]byte{said("0-5")}); got == rest {
		t.Error("a slot that has gone makes no difference")
	}
}
