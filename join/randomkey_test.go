package join

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestKeysAreDrawnByTheirNumber(t *testing.T) {
	t.Parallel()
	f := func(weights []int64, draws []int64, want string, replies ...string) {
		t.Helper()
		asked := 0
		got := RandomKey(framed(replies...), weights, func(n int64) int64 {
			asked++
			return draws[asked-1] % n
		})
		if string(got) != want || asked != len(draws) {
			t.Errorf("%q: %q after %d draws", replies, got, asked)
		}
	}
	const a, b, null, null3 = "$1\r\na\r\n", "$1\r\nb\r\n", "$-1\r\n", "_\r\n"
	f([]int64{3, 1}, []int64{0, 0}, b, a, b) // 0 of 4 is among the last one's
	f([]int64{3, 1}, []int64{0, 1}, a, a, b)
	f([]int64{0, 5}, []int64{0}, b, null, b)
	f([]int64{0, 0}, []int64{0, 0}, b, a, b) // a server with a key has one at least
	f([]int64{0, 0}, nil, null, null, null)
	f([]int64{0, 0}, nil, null3, null3, null3)
	f([]int64{1, 1}, []int64{0}, a, a, ":7\r\n")
}

// A server may say that it has any number of keys.
func TestWeightsDoNotOverflow(t *testing.T) {
	t.Parallel()
	replies := framed("$1\r\na\r\n", "$1\r\nb\r\n", "$1\r\nc\r\n")
	RandomKey(replies, []int64{math.MaxInt64, math.MaxInt64, math.MinInt64}, rand.Int64N)
}

func FuzzRandom(f *testing.F) {
	f.Add([]byte("$1\r\na\r\n"), []byte("$-1\r\n"), int64(1), int64(math.MaxInt64))
	f.Add([]byte(""), []byte("_\r\n"), int64(-1), int64(0))
	f.Fuzz(func(t *testing.T, one, two []byte, w1, w2 int64) {
		replies := [][]byte{one, two}
		if got := RandomKey(replies, []int64{w1, w2}, rand.Int64N); string(got) != string(one) && string(got) != string(two) {
			t.Errorf("%q of %q", got, replies)
		}
	})
}
