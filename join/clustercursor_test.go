package join

import (
	"testing"

	"ringway/resp"
)

func TestCursorsOfAClusterLeadBack(t *testing.T) {
	t.Parallel()
	f := func(at ClusterCursor, fits bool) {
		t.Helper()
		n, ok := at.Encode()
		if ok != fits || ok && ParseClusterCursor(n) != at {
			t.Errorf("%+v became %d, %v, and that %+v", at, n, ok, ParseClusterCursor(n))
		}
	}
	f(ClusterCursor{}, true)
	f(ClusterCursor{Shard: 1000, Pass: 2, Sum: 4094, Own: 1<<40 - 1}, true)
	f(ClusterCursor{Shard: AllScanned, Sum: 7}, true)
	f(ClusterCursor{Shard: 1, Own: 1 << 40}, false)

	if got, want := (ClusterCursor{Shard: 1, Sum: 5, Own: 9}).Next(0, 2), (ClusterCursor{Shard: AllScanned, Sum: 5}); got != want {
		t.Errorf("after the last Shard: %+v, want %+v", got, want)
	}
	if got, want := (ClusterCursor{Sum: 5, Own: 9}).Next(7, 2), (ClusterCursor{Sum: 5, Own: 7}); got != want {
		t.Errorf("within a Shard: %+v, want %+v", got, want)
	}
}

func TestChecksumOfSlotsTellsMovesFromRest(t *testing.T) {
	t.Parallel()
	said := func(slots string) []byte {
		return resp.AppendBulkString(nil, "a1 127.0.0.1:1@2 master - 0 0 3 connected 9\nb2 127.0.0.1:3@4 myself,master - 0 0 7 connected "+slots+"\n")
	}
	rest := SlotSum([][]byte{said("0-5 7")})
	if rest == SumMoving || rest == sumUnknown || rest != SlotSum([][]byte{said("0-5 7")}) {
		t.Errorf("at rest: %d", rest)
	}
	for _, test := range []struct {
		name  string
		reply []byte
		want  uint32
	}{
		{"a slot on its way", said("0-5 7 [9-<-a1]"), SumMoving},
		{"a refusal", []byte("-NOPERM this user has no permissions to run the 'cluster|nodes' command\r\n"), sumUnknown},
		{"nonsense", []byte("$3\r\nabc\r\n"), sumUnknown},
		{"nothing", nil, sumUnknown},
	} {
		if got := SlotSum([][]byte{test.reply}); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
	text, _ := resp.Bulk(said("0-5 7"))
	if got := SlotSum([][]byte{resp.RESP3.AppendText(nil, string(text))}); got != rest {
		t.Errorf("in RESP3: %d, want %d", got, rest)
	}
	if got := SlotSum([][]byte{said("0-5")}); got == rest {
		t.Error("a slot that has gone makes no difference")
	}
}

func TestAnotherPassFollowsWhenSlotsHaveMoved(t *testing.T) {
	t.Parallel()
	f := func(began ClusterCursor, sum uint32, follows bool) {
		t.Helper()
		next, got := began.NextPass(sum)
		if got != follows || got && next != (ClusterCursor{Pass: began.Pass + 1, Sum: sum}) {
			t.Errorf("%+v, then %d: %+v, %v", began, sum, next, got)
		}
	}
	f(ClusterCursor{Sum: 7}, 7, false)
	f(ClusterCursor{Sum: 7}, 8, true)
	f(ClusterCursor{Sum: 7, Pass: 1}, 8, true)
	f(ClusterCursor{Sum: 7, Pass: 2}, 8, false) // the last one
	f(ClusterCursor{Sum: 7}, SumMoving, true)
	f(ClusterCursor{Sum: SumMoving}, SumMoving, true)
	f(ClusterCursor{Sum: 7}, sumUnknown, false)
	f(ClusterCursor{Sum: sumUnknown}, 7, false)
}

// A scan for keys of one slot goes to one shard, unless slots have moved meanwhile.
func TestScanOfOneSlotGoesToOneShard(t *testing.T) {
	t.Parallel()
	at := ClusterCursor{Sum: 7}.ToOne(1)
	if n, ok := at.Encode(); !ok || ParseClusterCursor(n) != at || at.Shard != 1 || at.Sum != 7 {
		t.Errorf("%+v becomes %+v", at, ParseClusterCursor(n))
	}
	if next := at.Next(5, 3); next.Shard != 1 || next.Own != 5 {
		t.Errorf("within the shard: %+v", next)
	}
	if next := at.Next(0, 3); next.Shard != AllScanned {
		t.Errorf("after the shard: %+v", next)
	}
	if next := at.ToAll().Next(0, 3); next.Shard != 2 {
		t.Errorf("with a pattern of several slots: %+v", next)
	}
	if _, follows := at.NextPass(7); follows {
		t.Error("another pass follows, though nothing has moved")
	}
	if next, follows := at.NextPass(8); !follows || next != (ClusterCursor{Pass: 1, Sum: 8}) {
		t.Errorf("after a move: %+v, %v", next, follows)
	}
}

// A transaction's scan stays on one shard, wherever the client's cursor comes from.
func TestScanInATransactionStaysOnItsShard(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		from, at ClusterCursor
		more     bool
	}{
		{ClusterCursor{}, ClusterCursor{Shard: 2, Pass: scanOne, Sum: sumUnknown}, true},
		{ClusterCursor{Shard: 2, Pass: scanOne, Sum: 7, Own: 9}, ClusterCursor{Shard: 2, Pass: scanOne, Sum: 7, Own: 9}, true},
		{ClusterCursor{Shard: 2, Pass: 1, Sum: 7, Own: 9}, ClusterCursor{Shard: 2, Pass: scanOne, Sum: 7, Own: 9}, true}, // from a scan of all
		{ClusterCursor{Shard: 1, Pass: 0, Sum: 7, Own: 9}, ClusterCursor{Shard: 2, Pass: scanOne, Sum: 7}, true},         // of another shard
		{ClusterCursor{Shard: AllScanned, Pass: scanOne, Sum: 7}, ClusterCursor{Shard: 2, Pass: scanOne, Sum: 7}, false},
	} {
		if at, more := test.from.InTransaction(2); at != test.at || more != test.more {
			t.Errorf("%+v: %+v, %v", test.from, at, more)
		}
	}
}

func TestSlotOwnerIsWhoSaysSo(t *testing.T) {
	t.Parallel()
	said := func(slots string) []byte {
		return resp.AppendBulkString(nil, "a1 127.0.0.1:1@2 master - 0 0 3 connected 9\nb2 127.0.0.1:3@4 myself,master - 0 0 7 connected "+slots+"\n")
	}
	replies := [][]byte{said("0-5 7"), said("6 8-16383 [7->-a1]")}
	for slot, want := range map[int]int{0: 0, 5: 0, 6: 1, 7: 0, 8: 1, 16383: 1} {
		if got, known := SlotOwner(replies, slot); got != want || !known {
			t.Errorf("slot %d: %d, %v", slot, got, known)
		}
	}
	if got, known := SlotOwner(replies[:1], 6); got != -1 || !known {
		t.Errorf("a slot of nobody: %d, %v", got, known)
	}
	if got, known := SlotOwner([][]byte{said("0-5"), []byte("-NOPERM no\r\n")}, 3); got != -1 || known {
		t.Errorf("with a refusal: %d, %v", got, known)
	}
}

func FuzzClusterCursors(f *testing.F) {
	f.Add(uint64(0), uint64(5), []byte("$3\r\nabc\r\n"))
	f.Add(uint64(1<<63), uint64(1<<40), []byte("$60\r\nb2 127.0.0.1:3@4 myself,master - 0 0 7 connected 0-5 [9-<-a1]\n\r\n"))
	f.Fuzz(func(t *testing.T, n, own uint64, reply []byte) {
		at := ParseClusterCursor(n)
		if back, ok := at.Encode(); !ok || back != n {
			t.Errorf("%d is %+v, and that %d, %v", n, at, back, ok)
		}
		next := at.Next(own, 3)
		if encoded, ok := next.Encode(); ok && ParseClusterCursor(encoded) != next {
			t.Errorf("%+v became %d", next, encoded)
		}
		sum := SlotSum([][]byte{reply, reply})
		if i, known := SlotOwner([][]byte{reply, reply}, int(n%16384)); i > 1 || !known && i >= 0 {
			t.Errorf("%q: owner %d, %v", reply, i, known)
		}
		if sum > sumUnknown {
			t.Errorf("%q: checksum %d", reply, sum)
		}
		if begins, follows := at.NextPass(sum); follows && begins.Pass >= scanPasses {
			t.Errorf("%+v is followed by %+v", at, begins)
		}
	})
}
