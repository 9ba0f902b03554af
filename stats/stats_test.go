package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBucketsCoverEveryDurationOnce(t *testing.T) {
	t.Parallel()
	before := 0.0
	for i := range Buckets {
		low, high := Bounds(i)
		if low != before || high <= low {
			t.Fatalf("bucket %d: from %v to %v, but the one before ends at %v", i, low, high, before)
		}
		before = high
		first := uint32(math.Round(low * 1e9 / Unit))
		last := uint32(math.Round(high*1e9/Unit) - 1)
		if bucketOf(first) != i || bucketOf(last) != i {
			t.Fatalf("%d to %d are in buckets %d and %d, not in %d", first, last, bucketOf(first), bucketOf(last), i)
		}
	}
	if bucketOf(math.MaxUint32) != Buckets-1 {
		t.Fatalf("the longest duration is in bucket %d of %d", bucketOf(math.MaxUint32), Buckets)
	}
}

func TestQuantilesAreWithinSixPercent(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []float64
	for range 20000 {
		v := uint32(math.Exp(random.Float64()*14) + 20)
		h.Add(v, 1)
		all = append(all, float64(v)*Unit/1e9)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[min(int(q*float64(len(all))), len(all)-1)]
		if got := h.Quantile(q); math.Abs(got-want) > 0.06*want {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if got := new(Histogram).Quantile(0.5); got != 0 {
		t.Errorf("an empty histogram says %v", got)
	}
}

func TestRunsCountAsEachReplyWould(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var p Pool
	want := map[uint16]*Histogram{}
	for range 5000 {
		command, came := uint16(random.IntN(3)), uint32(random.IntN(3))-1 // before and after the wrap
		now := came + uint32(random.IntN(2))*100
		for range random.IntN(4) {
			p.Replied(command, came, now)
			if want[command] == nil {
				want[command] = new(Histogram)
			}
			want[command].Add(now-came, 1)
		}
	}
	var sum Pool
	sum.Merge(&p)
	sum.Merge(new(Pool))
	for command, h := range want {
		if *h != sum.Commands[command].Latency {
			t.Errorf("command %d: %d calls of %d", command, sum.Commands[command].Latency.Count(), h.Count())
		}
	}
}

func TestErrorCodesAreKnownByTheirFirstWord(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]string{
		"-ERR unknown command\r\n": "ERR", "-WRONGTYPE Operation": "WRONGTYPE", "-MOVED 1 a:1": "MOVED", "-READONLY": "READONLY",
		"-MYERROR of a script": "other", "-": "other", "-err": "other", "-NOMASTERLINK x": "NOMASTERLINK", "-other": "other",
	} {
		if got := ErrorCodeName(ErrorCode([]byte(reply))); got != want {
			t.Errorf("%q: %s, want %s", reply, got, want)
		}
	}
}

func TestEveryReasonHasAName(t *testing.T) {
	t.Parallel()
	for i := range CloseReasons {
		if CloseReason(i).String() == "" {
			t.Errorf("close reason %d", i)
		}
	}
	for i := range Failures {
		if Failure(i).String() == "" {
			t.Errorf("failure %d", i)
		}
	}
	if slices.Contains(errorCodes[:], "") {
		t.Error("an error code has no name")
	}
}

// BenchmarkReplied is what counting a reply costs: one of a long run, and one by itself.
func BenchmarkReplied(b *testing.B) {
	var p Pool
	b.Run("run", func(b *testing.B) {
		for i := range b.N {
			p.Replied(5, uint32(i>>6), uint32(i>>6)+100)
		}
	})
	b.Run("single", func(b *testing.B) {
		for i := range b.N {
			p.Replied(5, uint32(i), uint32(i)+uint32(i&1023))
		}
	})
}

func TestWhatHasBegunAnewIsNotSubtractedFrom(t *testing.T) {
	t.Parallel()
	var before, now Histogram
	before.Add(10, 5)
	before.Add(1000, 2)
	now.Add(10, 6)
	now.Subtract(&before)
	if n := now.Count(); n != 6 || now.Sum != 60 {
		t.Errorf("%d durations with a sum of %d, want the 6 that were counted anew", n, now.Sum)
	}
	if got := Since(7, 5); got != 2 {
		t.Errorf("2 of 7 were counted since, not %d", got)
	}
	if got := Since(3, 5); got != 3 {
		t.Errorf("3 were counted anew, not %d", got)
	}
}
