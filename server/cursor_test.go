package server

import (
	"math"
	"strconv"
	"testing"
)

func TestCursorsHoldTheServersIndex(t *testing.T) {
	f := func(own uint64, server, servers int, want uint64, ok bool) {
		t.Helper()
		got, fits := nextCursor(own, server, servers, uint64(servers))
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

	// In a Cluster servers may come while the scan goes on.
	if got, ok := nextCursor(7, 3, 5, clusterBase); !ok || got != 7*clusterBase+3 {
		t.Errorf("cursor in a Cluster: %d, %v", got, ok)
	}
}

// A cursor that was handed out leads back to where it came from.
func FuzzCursorsLeadBack(f *testing.F) {
	f.Add(uint64(1), uint8(0), uint8(2))
	f.Add(uint64(math.MaxUint64), uint8(3), uint8(1))
	f.Fuzz(func(t *testing.T, own uint64, server, more uint8) {
		servers := int(server) + int(more) + 1
		next, ok := nextCursor(own, int(server), servers, uint64(servers))
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
