package join

import "testing"

func TestHistogramsAreAddedUp(t *testing.T) {
	t.Parallel()
	const (
		get  = "*4\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:20\r\n$14\r\nhistogram_usec\r\n*4\r\n:1\r\n:19\r\n:4\r\n:20\r\n$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:8\r\n:1\r\n"
		two  = "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:7\r\n$14\r\nhistogram_usec\r\n*4\r\n:2\r\n:3\r\n:4\r\n:7\r\n"
		both = "*4\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:27\r\n$14\r\nhistogram_usec\r\n*6\r\n:1\r\n:19\r\n:2\r\n:22\r\n:4\r\n:27\r\n$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:8\r\n:1\r\n"
		map3 = "%1\r\n$3\r\nget\r\n%2\r\n$5\r\ncalls\r\n:7\r\n$14\r\nhistogram_usec\r\n%2\r\n:2\r\n:3\r\n:4\r\n:7\r\n"
		sum3 = "%1\r\n$3\r\nget\r\n%2\r\n$5\r\ncalls\r\n:14\r\n$14\r\nhistogram_usec\r\n%2\r\n:2\r\n:6\r\n:4\r\n:14\r\n"
	)
	checkTable(t, []joined{
		{"one server", []string{get}, get},
		{"two servers", []string{get, two}, both},
		{"one that has served nothing", []string{two, "*0\r\n"}, two},
		{"RESP3", []string{map3, map3}, sum3},
		{"RESP3, one that has served nothing", []string{"%0\r\n", map3}, map3},
		{"no map", []string{get, "+OK\r\n"}, ""},
		{"a name without a histogram", []string{"*1\r\n$3\r\nget\r\n"}, ""},
		{"a name that is none", []string{"*2\r\n:1\r\n*0\r\n"}, ""},
		{"calls that are no number", []string{"*2\r\n$3\r\nget\r\n*2\r\n$5\r\ncalls\r\n+x\r\n"}, ""},
		{"a bucket without a count", []string{"*2\r\n$3\r\nget\r\n*2\r\n$14\r\nhistogram_usec\r\n*1\r\n:1\r\n"}, ""},
		{"a bucket that is no number", []string{"*2\r\n$3\r\nget\r\n*2\r\n$14\r\nhistogram_usec\r\n*2\r\n+x\r\n:1\r\n"}, ""},
	}, Histograms)
}

func FuzzHistograms(f *testing.F) {
	addSeeds(f, "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:7\r\n$14\r\nhistogram_usec\r\n*4\r\n:2\r\n:3\r\n:4\r\n:7\r\n", "%1\r\n$3\r\nget\r\n%0\r\n", "*0\r\n")
	f.Fuzz(func(t *testing.T, one, two []byte, more bool) {
		replies := [][]byte{one, two}
		if more {
			replies = append(replies, one)
		}
		if dst, ok := Histograms(nil, replies); ok {
			if again, ok := Histograms(nil, [][]byte{dst}); !ok || string(again) != string(dst) {
				t.Errorf("%q becomes %q", dst, again)
			}
		}
	})
}
