package session

import (
	"fmt"
	"slices"
	"testing"
)

// Clients that leave are no longer among those that have read a key, and what a client
// has read is forgotten at a cost of what that is.
func TestReadersOfAKeyLeave(t *testing.T) {
	t.Parallel()
	ks := newTrackedKeys()
	stays := &tracking{}
	ks.note(stays, []byte("flag"))
	for range 1000 {
		c := &tracking{}
		for range 2 {
			ks.note(c, []byte("flag"))
			ks.note(c, []byte("other"))
		}
		if !ks.forget(c, 10) {
			t.Fatal("more keys than were read")
		}
	}
	if n := len(ks.byName["flag"].readers); n != 1 || ks.pairs != 1 || len(ks.byName) != 1 {
		t.Errorf("%d readers, %d notes, %d keys", n, ks.pairs, len(ks.byName))
	}
	if got := ks.take([]byte("flag")); !slices.Equal(got, []*tracking{stays}) || ks.pairs != 0 || len(stays.readKeys.indexes) != 0 {
		t.Errorf("%v, %d notes", got, ks.pairs)
	}
}

func TestNotesAreKeptWhileOthersLeave(t *testing.T) {
	t.Parallel()
	ks := newTrackedKeys()
	clients := make([]*tracking, 5)
	for i := range clients {
		clients[i] = &tracking{}
		for k := range 300 {
			if k%(i+1) == 0 {
				ks.note(clients[i], fmt.Append(nil, "k", k))
			}
		}
	}
	for done := false; !done; {
		done = ks.forget(clients[1], 7)
	}
	ks.take([]byte("k0"))
	notes := 0
	for _, c := range clients {
		for k, index := range c.readKeys.indexes {
			if k.readers[index] != c {
				t.Fatal("a note is not at its index")
			}
			notes++
		}
	}
	if want := 300 + 100 + 75 + 60 - 4; notes != want || ks.pairs != want {
		t.Errorf("%d notes, counted %d, want %d", notes, ks.pairs, want)
	}
	ks.clear()
	ks.note(clients[0], []byte("k1"))
	if !ks.forget(clients[2], 0) || ks.pairs != 1 {
		t.Errorf("%d notes after everything was forgotten", ks.pairs)
	}
}

func TestPrefixesOfAKey(t *testing.T) {
	t.Parallel()
	ps := newPrefixes()
	a, b := &tracking{}, &tracking{}
	for _, text := range []string{"", "user:", "user:1", "user:12", "order:"} {
		ps.add(a, text)
	}
	ps.add(b, "user:")
	f := func(key string, want ...string) {
		t.Helper()
		var got []string
		ps.each([]byte(key), func(p *prefix) { got = append(got, p.text) })
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
	f("", "")
	f("x", "")
	f("user:2", "", "user:")
	f("user:123", "", "user:", "user:1", "user:12")
	for _, text := range []string{"", "user:", "user:1", "user:12", "order:"} {
		ps.remove(a, text)
		ps.remove(a, text)
	}
	f("user:123", "user:")
	ps.remove(b, "user:")
	if len(ps.byHash)+len(ps.lengths) != 0 {
		t.Error("something is left")
	}
}
