package join

import (
	"strings"
	"testing"

	"ringway/resp"
)

// operation reads a request; keys are those of its arguments that begin with k.
func operation(t *testing.T, version, request string) *SetOperation {
	t.Helper()
	op, err := parse(version, request)
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	return op
}

func parse(version, request string) (*SetOperation, error) {
	words := strings.Fields(request)
	var keys []int
	for i, w := range words {
		if w[0] == 'k' {
			keys = append(keys, i)
		}
	}
	return ParseSetOperation(strings.ToLower(words[0]), framed(words...), keys, version)
}

// elements frames words as an array, or as a set of RESP3.
func elements(p resp.Protocol, words ...string) []byte {
	dst := p.AppendSet(nil, len(words))
	for _, w := range words {
		dst = resp.AppendBulkString(dst, w)
	}
	return dst
}

func TestSetsAreJoined(t *testing.T) {
	t.Parallel()
	sets := [][]string{{"a", "b", "c"}, {"b", "d"}, {"b", "c"}}
	for _, c := range []struct{ request, want string }{
		{"SUNION k1 k2 k3", "a b c d"},
		{"SINTER k1 k2 k3", "b"},
		{"SDIFF k1 k2 k3", "a"},
		{"SINTERCARD 3 k1 k2 k3", ":1"},
		{"SINTERCARD 3 k1 k2 k3 LIMIT 0", ":1"},
	} {
		op := operation(t, "7.0.15", c.request)
		for p := range resp.Protocols {
			var replies [][]byte
			for _, s := range sets {
				replies = append(replies, elements(p, s...))
			}
			want := string(elements(p, strings.Fields(c.want)...))
			if c.want[0] == ':' {
				want = c.want + "\r\n"
			}
			if got, ok := op.AppendReply(nil, replies, p); !ok || string(got) != want {
				t.Errorf("%s in RESP%d: %q, %v, want %q", c.request, p.Version(), got, ok, want)
			}
			if _, ok := op.AppendReply(nil, append(replies[:1:1], []byte(":1\r\n")), p); ok {
				t.Errorf("%s: an integer is taken for a set", c.request)
			}
			if _, ok := op.AppendReply(nil, append(replies[:1:1], []byte("*1\r\n:1\r\n")), p); ok {
				t.Errorf("%s: an integer is taken for a member", c.request)
			}
		}
	}
	if got, ok := operation(t, "7.0.15", "SINTERCARD 2 k1 k2 limit 2").AppendReply(nil, [][]byte{elements(resp.RESP2, "a", "b", "c"), elements(resp.RESP2, "c", "b", "a")}, resp.RESP2); !ok || string(got) != ":2\r\n" {
		t.Errorf("limited: %q, %v", got, ok)
	}
}

func TestServersDoWhatTheyCanOfAnOperation(t *testing.T) {
	t.Parallel()
	f := func(request string, i int, keys []string, want string) {
		t.Helper()
		op := operation(t, "7.0.15", request)
		if got := op.AppendFetch(nil, framed(keys...), i); string(got) != string(resp.AppendRequest(nil, framed(strings.Fields(want)...))) {
			t.Errorf("%s: %q, want %s", request, got, want)
		}
		if op.KeyByKey() != (request[0] == 'Z') {
			t.Errorf("%s: key by key %v", request, op.KeyByKey())
		}
	}
	f("SUNION k1 k2 k3", 0, []string{"k1", "k3"}, "SUNION k1 k3")
	f("SINTER k1 k2", 0, []string{"k1"}, "SINTER k1")
	f("SINTERCARD 2 k1 k2", 1, []string{"k1"}, "SINTER k1")
	f("SDIFF k1 k2 k3", 0, []string{"k1", "k2"}, "SDIFF k1 k2")
	f("SDIFF k1 k2 k3", 1, []string{"k3"}, "SUNION k3")
	f("ZDIFF 2 k1 k2", 1, []string{"k2"}, "ZUNION 1 k2 WITHSCORES")
	f("ZINTERCARD 2 k1 k2", 0, []string{"k1"}, "ZUNION 1 k1 WITHSCORES")
}

func TestOptionsOfSetOperationsAreThoseOfRedis(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"SINTERCARD 2 k1 k2 LIMIT 3":                            "",
		"ZUNION 2 k1 k2 WITHSCORES":                             "",
		"ZUNION 2 k1 k2 WEIGHTS 1 2.5 AGGREGATE MAX withscores": "",
		"ZINTER 2 k1 k2 AGGREGATE sum AGGREGATE min":            "",
		"SINTERCARD 2 k1 k2 LIMIT":                              "ERR syntax error",
		"SINTERCARD 2 k1 k2 LIMIT -1":                           "ERR LIMIT can't be negative",
		"SINTERCARD 2 k1 k2 LIMIT x":                            "ERR LIMIT can't be negative",
		"SINTERCARD 2 k1 k2 LIMIT 4294967296":                   "ERR LIMIT can't be negative",
		"ZUNION 2 k1 k2 LIMIT 1":                                "ERR syntax error",
		"ZINTERCARD 2 k1 k2 WITHSCORES":                         "ERR syntax error",
		"ZUNION 2 k1 k2 WEIGHTS 1":                              "ERR syntax error",
		"ZUNION 2 k1 k2 WEIGHTS 1 x":                            "ERR weight value is not a float",
		"ZUNION 2 k1 k2 WEIGHTS 1 nan":                          "ERR weight value is not a float",
		"ZUNION 2 k1 k2 AGGREGATE avg":                          "ERR syntax error",
		"ZUNION 2 k1 k2 AGGREGATE":                              "ERR syntax error",
		"ZDIFF 2 k1 k2 WEIGHTS 1 2":                             "ERR syntax error",
		"ZDIFF 2 k1 k2 AGGREGATE sum":                           "ERR syntax error",
	} {
		if _, err := parse("7.0.15", request); err == nil != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%s: %v, want %q", request, err, want)
		}
	}
}

// setRequests are what FuzzSets joins parts for.
var setRequests = []string{
	"SUNION k1 k2", "SINTER k1 k2", "SDIFF k1 k2", "SINTERCARD 2 k1 k2", "ZUNION 2 k1 k2 WITHSCORES", "ZINTER 2 k1 k2 WITHSCORES WEIGHTS inf -1",
	"ZDIFF 2 k1 k2 WITHSCORES", "ZINTERCARD 2 k1 k2 LIMIT 1", "ZUNION 2 k1 k2 AGGREGATE min",
}

func FuzzSets(f *testing.F) {
	addSeeds(f, "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "~1\r\n$1\r\na\r\n", "*2\r\n$1\r\na\r\n$3\r\n1.5\r\n", "*1\r\n*2\r\n$1\r\na\r\n,-1e300\r\n", "*2\r\n$1\r\na\r\n$4\r\n-inf\r\n", "*0\r\n")
	var ops []*SetOperation
	for i, request := range setRequests {
		op, err := parse([]string{"7.0.15", "7.2.4"}[i%2], request)
		if err != nil {
			f.Fatal(err)
		}
		ops = append(ops, op)
	}
	f.Fuzz(func(t *testing.T, one, two []byte, resp3 bool) {
		protocol := resp.RESP2
		if resp3 {
			protocol = resp.RESP3
		}
		for _, op := range ops {
			dst, ok := op.AppendReply(nil, [][]byte{one, two}, protocol)
			checkJoined(t, dst, ok, one, two)
			if _, ok := op.AppendReply(nil, [][]byte{one}, protocol); ok && op.sorted {
				t.Errorf("%+v: one part for two keys", op)
			}
		}
	})
}
