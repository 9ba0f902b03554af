package join

import (
	"fmt"
	"testing"
)

// slow is an entry of SLOWLOG as a server frames it.
func slow(id, at int) string {
	return fmt.Sprintf("*4\r\n:%d\r\n:%d\r\n:15\r\n*1\r\n$4\r\nPING\r\n", id, at)
}

func TestNewestEntriesComeFirst(t *testing.T) {
	t.Parallel()
	one, two := "*2\r\n"+slow(7, 300)+slow(6, 100), "*2\r\n"+slow(3, 300)+slow(2, 200)
	checkTable(t, []joined{
		{"two servers", []string{one, two}, "*3\r\n" + slow(7, 300) + slow(3, 300) + slow(2, 200)},
		{"one is empty", []string{"*0\r\n", two}, two},
		{"no entries", []string{"*1\r\n:1\r\n", two}, ""},
		{"an entry without a time", []string{"*1\r\n*1\r\n:1\r\n", two}, ""},
		{"a time that is none", []string{"*1\r\n*2\r\n:1\r\n+now\r\n", two}, ""},
		{"no array", []string{":1\r\n", two}, ""},
	}, func(dst []byte, replies [][]byte) ([]byte, bool) { return NewestFirst(dst, replies, 3) })
	checkTable(t, []joined{
		{"none asked for", []string{one, two}, "*0\r\n"},
	}, func(dst []byte, replies [][]byte) ([]byte, bool) { return NewestFirst(dst, replies, 0) })
	checkTable(t, []joined{
		{"all", []string{one, two}, "*4\r\n" + slow(7, 300) + slow(3, 300) + slow(2, 200) + slow(6, 100)},
	}, func(dst []byte, replies [][]byte) ([]byte, bool) { return NewestFirst(dst, replies, -1) })
}

func TestSlowlogIsAskedForTenEntries(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"": 10, "3": 3, "0": 0, "-1": -1, "x": -1, "9223372036854775807": 1 << 31} {
		args := framed("SLOWLOG", "GET", in)
		if in == "" {
			args = args[:2]
		}
		if got := SlowlogCount(args); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func FuzzNewest(f *testing.F) {
	addSeeds(f, "*2\r\n"+slow(7, 300)+slow(6, 100), "*0\r\n")
	f.Fuzz(func(t *testing.T, one, two []byte, few bool) {
		limit := -1
		if few {
			limit = 1
		}
		dst, ok := NewestFirst(nil, [][]byte{one, two}, limit)
		checkJoined(t, dst, ok, one, two)
	})
}
