package join

import (
	"math"
	"testing"

	"ringway/resp"
)

// scored frames members, each followed by its score, as a reply WITHSCORES.
func scored(p resp.Protocol, words ...string) []byte {
	if p != resp.RESP3 {
		return elements(resp.RESP2, words...)
	}
	dst := resp.AppendArray(nil, len(words)/2)
	for i := 0; i < len(words); i += 2 {
		dst = resp.AppendBulkString(resp.AppendArray(dst, 2), words[i])
		dst = p.AppendDouble(dst, []byte(words[i+1]))
	}
	return dst
}

func TestSortedSetsAreJoined(t *testing.T) {
	t.Parallel()
	sets := [][]string{{"a", "1", "b", "2", "c", "inf"}, {"b", "0.5", "c", "-inf", "d", "1"}}
	for _, c := range []struct {
		request string
		want    []string
	}{
		{"ZUNION 2 k1 k2 WITHSCORES", []string{"c", "0", "a", "1", "d", "1", "b", "2.5"}},
		{"ZINTER 2 k1 k2 WITHSCORES", []string{"c", "0", "b", "2.5"}},
		{"ZINTER 2 k1 k2 WITHSCORES AGGREGATE MIN", []string{"c", "-inf", "b", "0.5"}},
		{"ZINTER 2 k1 k2 WITHSCORES AGGREGATE MAX", []string{"b", "2", "c", "inf"}},
		{"ZINTER 2 k1 k2 WITHSCORES WEIGHTS 2 -1", []string{"b", "3.5", "c", "inf"}},
		{"ZUNION 2 k1 k2 WITHSCORES WEIGHTS 0 0", []string{"a", "0", "b", "0", "c", "0", "d", "0"}},
		{"ZDIFF 2 k1 k2 WITHSCORES", []string{"a", "1"}},
	} {
		op := operation(t, "7.2.4", c.request)
		for p := range resp.Protocols {
			replies := [][]byte{scored(p, sets[0]...), scored(p, sets[1]...)}
			if got, ok := op.AppendReply(nil, replies, p); !ok || string(got) != string(scored(p, c.want...)) {
				t.Errorf("%s in RESP%d: %q, %v, want %q", c.request, p.Version(), got, ok, c.want)
			}
		}
	}
	for request, want := range map[string]string{
		"ZUNION 2 k1 k2":             "*4\r\n$1\r\nc\r\n$1\r\na\r\n$1\r\nd\r\n$1\r\nb\r\n",
		"ZINTERCARD 2 k1 k2":         ":2\r\n",
		"ZINTERCARD 2 k1 k2 LIMIT 1": ":1\r\n",
	} {
		for p := range resp.Protocols {
			if got, ok := operation(t, "7.2.4", request).AppendReply(nil, [][]byte{scored(p, sets[0]...), scored(p, sets[1]...)}, p); !ok || string(got) != want {
				t.Errorf("%s in RESP%d: %q, %v", request, p.Version(), got, ok)
			}
		}
	}
}

func TestScoresThatAreNoneAreNotJoined(t *testing.T) {
	t.Parallel()
	op := operation(t, "7.2.4", "ZUNION 2 k1 k2 WITHSCORES")
	good := [resp.Protocols]string{"*2\r\n$1\r\na\r\n$1\r\n1\r\n", "*1\r\n*2\r\n$1\r\na\r\n,1\r\n"}
	for p, bad := range [resp.Protocols][]string{
		{"*1\r\n$1\r\na\r\n", "*2\r\n$1\r\na\r\n$3\r\nnan\r\n", "*2\r\n$1\r\na\r\n$1\r\nx\r\n", "*2\r\n$1\r\na\r\n:1\r\n", "*2\r\n:1\r\n$1\r\n1\r\n", "*2\r\n$1\r\na\r\n$-1\r\n", "*1\r\n*2\r\n$1\r\na\r\n,1\r\n"},
		{"*1\r\n*1\r\n$1\r\na\r\n", "*1\r\n*2\r\n$1\r\na\r\n,nan\r\n", "*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n", "*1\r\n*2\r\n:1\r\n,1\r\n", "*1\r\n*-1\r\n", "*2\r\n$1\r\na\r\n$1\r\n1\r\n"},
	} {
		for _, reply := range bad {
			if got, ok := op.AppendReply(nil, framed(good[p], reply), resp.Protocol(p)); ok {
				t.Errorf("%q: %q", reply, got)
			}
		}
		if _, ok := op.AppendReply(nil, framed(good[p]), resp.Protocol(p)); ok {
			t.Error("one part for two keys")
		}
	}
}

func TestScoresAreWrittenAsTheServersDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		score           float64
		since72, before string
	}{
		{0, "0", "0"},
		{math.Copysign(0, -1), "-0", "-0"},
		{3, "3", "3"},
		{-17, "-17", "-17"},
		{0.1, "0.1", "0.10000000000000001"},
		{1e17, "100000000000000000", "1e+17"},
		{1e20, "100000000000000000000", "1e+20"},
		{1e21, "1e+21", "1e+21"},
		{-1.5e-9, "-1.5e-9", "-1.5e-09"},
		{math.Inf(1), "inf", "inf"},
		{math.Inf(-1), "-inf", "-inf"},
	} {
		if got := string(appendScore(nil, c.score, true)); got != c.since72 {
			t.Errorf("%v: %s, want %s", c.score, got, c.since72)
		}
		if got := string(appendScore(nil, c.score, false)); got != c.before {
			t.Errorf("%v before 7.2: %s, want %s", c.score, got, c.before)
		}
	}
}
