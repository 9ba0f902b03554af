package hashring_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"ringway/hashring"
	"ringway/internal/redistest"
)

// The values are those that redis-server 7.0.15 gives for CLUSTER KEYSLOT.
var knownSlots = map[string]uint16{
	"":                       0,
	"123456789":              12739, // the check value of CRC-16/XMODEM, 0x31c3
	"foo":                    12182,
	"bar":                    5061,
	"{foo}bar":               12182,
	"bar{foo}":               12182,
	"foo{}{bar}":             8363, // an empty tag is none, and a later one does not count
	"foo{{bar}}zap":          4015, // the tag is "{bar"
	"foo{bar}{zap}":          5061, // the first pair counts
	"foo}{bar}":              5061, // a closing brace before the opening one does not
	"foo{bar":                15278,
	"{}":                     15257,
	"\x00\xff\x80":           4727,
	strings.Repeat("x", 999): 8831,
}

func TestSlotsAreRedisClusters(t *testing.T) {
	t.Parallel()
	for key, want := range knownSlots {
		if got := hashring.Slot([]byte(key)); got != want {
			t.Errorf("Slot(%q) = %d, want %d", key, got, want)
		}
	}
}

// Whatever is in a key, a real server puts it into the same slot.
func TestSlotsAreTheServers(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Args("--cluster-enabled", "yes"))
	c := redistest.Dial(t, "tcp", s.Addr())
	r := rand.New(rand.NewPCG(1, 2))
	ask := func(key string) {
		if got, want := hashring.Slot([]byte(key)), c.Do("CLUSTER", "KEYSLOT", key); ":"+strconv.Itoa(int(got))+"\r\n" != want {
			t.Errorf("Slot(%q) = %d, the server says %q", key, got, want)
		}
	}
	for key := range knownSlots {
		ask(key)
	}
	for range 2000 {
		key := make([]byte, r.IntN(20))
		for i := range key {
			key[i] = "{}{}ab\x00\xff"[r.IntN(8)]
		}
		ask(string(key))
	}
}

func TestSlotAllocatesNothing(t *testing.T) {
	key := []byte("user:{42}:name")
	if n := testing.AllocsPerRun(100, func() { hashring.Slot(key) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSlot compares Slot with a bit by bit reckoning of the same sum.
func FuzzSlot(f *testing.F) {
	for key := range knownSlots {
		f.Add([]byte(key))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		tag := string(key)
		if _, after, ok := strings.Cut(tag, "{"); ok {
			if inside, _, ok := strings.Cut(after, "}"); ok && inside != "" {
				tag = inside
			}
		}
		var crc uint16
		for _, b := range []byte(tag) {
			for bit := 7; bit >= 0; bit-- {
				carry := crc>>15 ^ uint16(b)>>bit&1
				crc = crc<<1 ^ carry*0x1021
			}
		}
		if got := hashring.Slot(key); got != crc&0x3fff {
			t.Errorf("Slot(%q) = %d, want %d", key, got, crc&0x3fff)
		}
	})
}
