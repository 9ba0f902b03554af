package server

import (
	"math"
	"slices"
	"testing"
	"time"
)

const mib = 1 << 20

// looks has a heap be looked at for so long, and collected when that is wanted, after
// which it is as collect says. It returns when that was.
func looks(t *scavenger, h *heap, during time.Duration, collect func(h *heap)) (at []time.Duration) {
	for now := time.Duration(0); now < during; now += lookEvery {
		if before := *h; t.isDue(before) {
			collect(h)
			t.collected(before, *h)
			at = append(at, now)
		}
	}
	return at
}

func TestGarbageThatWasInUseAtTheLastCollectionIsCollected(t *testing.T) {
	t.Parallel()
	s := &scavenger{others: math.MaxUint64, minOthers: math.MaxUint64}
	h := &heap{objects: 10 * mib, free: mib}
	clean := func(h *heap) { h.objects = h.buffers + 10*mib }
	if at := looks(s, h, time.Minute, clean); at != nil {
		t.Fatalf("a small heap was collected at %v", at)
	}
	h.objects, h.buffers = 210*mib, 200*mib
	if at := looks(s, h, time.Minute, clean); at != nil {
		t.Fatalf("buffers in use were collected at %v", at)
	}
	h.buffers = 0
	if at := looks(s, h, time.Minute, clean); len(at) != 1 || at[0] > 2*time.Second {
		t.Fatalf("garbage was collected at %v", at)
	}
}

func TestWhatCannotBeGivenBackIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]*heap{
		"fragments": {objects: 10 * mib, free: 50 * mib},
		"in use":    {objects: 100 * mib},
	} {
		s := &scavenger{others: 10 * mib, minOthers: 10 * mib}
		at := looks(s, h, 10*time.Minute, func(*heap) {})
		h.objects += 200 * mib
		clean := func(h *heap) { h.objects -= 200 * mib }
		if at := looks(s, h, 2*time.Second, clean); len(at) != 1 {
			t.Errorf("%s: garbage that came later was collected at %v", name, at)
		}
		if len(at) > 14 || !slices.IsSorted(at) {
			t.Errorf("%s: collected at %v", name, at)
		}
	}
}
