package join

import (
	"bytes"
	"fmt"
	"testing"

	"ringway/resp"
)

func TestElementsComeInTheOrderOfTheKeys(t *testing.T) {
	t.Parallel()
	f := func(order []uint16, want string, replies ...string) {
		t.Helper()
		counts := map[uint16]int{}
		for _, i := range order {
			counts[i]++
		}
		var parts [][]byte
		for i, r := range replies {
			part, ok := Elements([]byte(r), counts[uint16(i)])
			if !ok {
				if want != "" {
					t.Errorf("%q has not %d elements", r, counts[uint16(i)])
				}
				return
			}
			parts = append(parts, part)
		}
		if got, ok := InOrder(nil, parts, order); ok != (want != "") || ok && string(got) != want {
			t.Errorf("%q: %q, %v, want %q", replies, got, ok, want)
		}
	}
	f([]uint16{1, 0, 1}, "*3\r\n$1\r\nb\r\n$-1\r\n*1\r\n:1\r\n", "*1\r\n$-1\r\n", "*2\r\n$1\r\nb\r\n*1\r\n:1\r\n")
	f([]uint16{0}, "*1\r\n_\r\n", "*1\r\n_\r\n")
	f([]uint16{0, 1}, "", "*1\r\n:1\r\n", "*2\r\n:1\r\n:2\r\n")
	f([]uint16{0, 1}, "", "*1\r\n:1\r\n", ":2\r\n")
	f([]uint16{0, 1}, "", "*1\r\n:1\r\n", "*-1\r\n")
	f([]uint16{0, 1}, "", "*1\r\n:1\r\n", "*1\r\n$9\r\na\r\n")
}

func TestJoiningInOrderDoesNotAllocate(t *testing.T) {
	one, two, order := []byte("$1\r\na\r\n$-1\r\n"), []byte(":1\r\n"), []uint16{0, 1, 0}
	dst, parts := make([]byte, 0, 100), make([][]byte, 2)
	if allocs := testing.AllocsPerRun(100, func() {
		parts[0], parts[1] = one, two
		if _, ok := InOrder(dst, parts, order); !ok {
			t.Fatal("parts do not fit")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestArraysArePutOneBehindTheOther(t *testing.T) {
	t.Parallel()
	checkTable(t, []joined{
		{"two", []string{"*1\r\n$1\r\na\r\n", "*2\r\n:1\r\n*0\r\n"}, "*3\r\n$1\r\na\r\n:1\r\n*0\r\n"},
		{"empty", []string{"*0\r\n", "*0\r\n"}, "*0\r\n"},
		{"a null", []string{"*1\r\n$1\r\na\r\n", "*-1\r\n"}, ""},
		{"an integer", []string{"*1\r\n$1\r\na\r\n", ":1\r\n"}, ""},
		{"more than can be counted", []string{"*9223372036854775807\r\n", "*1\r\n:1\r\n"}, ""},
	}, concatAll)
}

// concatAll sends what Concat leaves behind its head.
func concatAll(dst []byte, replies [][]byte) ([]byte, bool) {
	dst, ok := Concat(dst, replies)
	if !ok {
		return dst, false
	}
	return append(dst, bytes.Join(replies, nil)...), true
}

func TestSomeElementsAreKept(t *testing.T) {
	t.Parallel()
	checkTable(t, []joined{
		{"two of three", []string{"*3\r\n$2\r\nab\r\n$1\r\nb\r\n$2\r\nac\r\n"}, "*2\r\n$2\r\nab\r\n$2\r\nac\r\n"},
		{"none", []string{"*1\r\n$1\r\nb\r\n"}, "*0\r\n"},
		{"of none", []string{"*0\r\n"}, "*0\r\n"},
		{"no string", []string{"*2\r\n:1\r\n$1\r\na\r\n"}, "*1\r\n$1\r\na\r\n"},
		{"no array", []string{"$1\r\na\r\n"}, ""},
		{"less than announced", []string{"*2\r\n$1\r\na\r\n"}, ""},
	}, func(dst []byte, replies [][]byte) ([]byte, bool) { return Filter(dst, replies[0], beginsWithA) })
}

func beginsWithA(s []byte) bool { return len(s) > 0 && s[0] == 'a' }

func FuzzArrays(f *testing.F) {
	addSeeds(f, "*1\r\n$1\r\na\r\n", "*2\r\n:1\r\n*1\r\n+x\r\n", "*0\r\n")
	f.Fuzz(func(t *testing.T, one, two []byte, swap bool) {
		dst, ok := concatAll(nil, [][]byte{one, two})
		checkJoined(t, dst, ok, one, two)
		dst, ok = Filter(nil, one, beginsWithA)
		checkJoined(t, dst, ok, one)
		var parts [][]byte
		var order []uint16
		for i, reply := range [][]byte{one, two} {
			count, _, _ := resp.ArrayLen(reply)
			part, ok := Elements(reply, min(count, 100))
			if !ok {
				return
			}
			for range count {
				order = append(order, uint16(i))
			}
			parts = append(parts, part)
		}
		if swap {
			for i := range len(order) / 2 {
				order[i], order[len(order)-1-i] = order[len(order)-1-i], order[i]
			}
		}
		dst, ok = InOrder(nil, parts, order)
		checkJoined(t, dst, ok, one, two, make([]byte, len(order)))
	})
}

func ExampleInOrder() {
	a, _ := Elements([]byte("*2\r\n$1\r\n1\r\n$1\r\n3\r\n"), 2) // MGET k1 k3, from one server
	b, _ := Elements([]byte("*1\r\n$-1\r\n"), 1)                // MGET k2, from another
	reply, ok := InOrder(nil, [][]byte{a, b}, []uint16{0, 1, 0})
	fmt.Printf("%q %v\n", reply, ok)
	// Output: "*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n3\r\n" true
}
