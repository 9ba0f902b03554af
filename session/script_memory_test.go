package session

import (
	"crypto/sha1"
	"fmt"
	"strings"
	"testing"
)

func TestScriptMemoryIsBoundedAndKeepsTheRecentlyUsed(t *testing.T) {
	t.Parallel()
	m := newScriptMemory()
	body := func(i int) string { return fmt.Sprintf("return %d --%s", i, strings.Repeat("x", 10<<10)) }
	hash := func(i int) []byte { return fmt.Appendf(nil, "%x", sha1.Sum([]byte(body(i)))) }
	const n = 1000
	for i := range n {
		m.note([]byte(body(i)))
		if i%50 == 0 {
			m.note([]byte(body(0)))
		}
		if m.size > maxScripts {
			t.Fatalf("%d bytes after %d scripts", m.size, i+1)
		}
	}
	for i, want := range map[int]bool{0: true, 1: false, n - 300: true, n - 1: true} {
		if got := m.find(hash(i)); (got != nil) != want || want && got.body != body(i) {
			t.Errorf("script %d: known %v", i, got != nil)
		}
	}
	size := 0
	for text := range m.byBody {
		size += len(text)
	}
	if size != m.size || len(m.byBody) != len(m.byHash) || m.recent.Len() != len(m.byHash) {
		t.Errorf("%d bytes counted as %d; %d bodies, %d hashes, %d in order", size, m.size, len(m.byBody), len(m.byHash), m.recent.Len())
	}
	m.note([]byte(strings.Repeat("x", maxScript+1)))
	if m.size != size {
		t.Error("a script over the bound was kept")
	}
	m.forget()
	if m.find(hash(n-1)) != nil || m.size != 0 {
		t.Error("something is left")
	}
}
