package conf

import (
	"strings"
	"testing"
)

// listening returns a file of pools named a, b, ..., each given as "LISTEN SERVER".
func listening(pools ...string) string {
	var b strings.Builder
	for i, p := range pools {
		listen, server, _ := strings.Cut(p, " ")
		b.WriteString("[pools." + string(rune('a'+i)) + "]\nlisten = \"" + listen + "\"\nservers = [\"" + server + "\"]\n")
	}
	return b.String()
}

// Pools that could not start, or would send requests to themselves, are mistakes.
func TestListenConflicts(t *testing.T) {
	t.Parallel()
	const all, round = "includes it or is part of it", "endlessly"
	for _, test := range []struct{ text, at, want string }{
		{listening("127.0.0.1:1 h:9", "127.0.0.1:2 h:9", "[::1]:1 h:9"), "", ""},
		{listening("0.0.0.0:1 h:9", "[::]:1 h:9"), "", ""},
		{listening("0.0.0.0:1 h:9", "[::1]:1 h:9", "h:1 h:9"), "", ""},
		{listening("0.0.0.0:0 h:9", "127.0.0.1:0 h:9"), "", ""},
		{listening("127.0.0.1:1 h:9", "0.0.0.0:1 h:9"), "x:5:10: ", all},
		{listening("[::]:1 h:9", "[::1]:1 h:9"), "x:5:10: ", all},
		{listening("*:1 h:9", "127.0.0.1:1 h:9"), "x:5:10: ", all},
		{listening("[::]:1 h:9", "*:1 h:9"), "x:5:10: ", all},
		{strings.ReplaceAll(listening("127.0.0.1:1 h:9", "0.0.0.0:1 h:9"), "servers", "reuseport = true\nservers"), "", ""},

		{listening("127.0.0.1:1 127.0.0.1:1"), "x:3:11: ", round},
		{listening("127.0.0.1:1 localhost:1"), "x:3:11: ", round},
		{listening("0.0.0.0:1 127.0.0.1:1"), "x:3:11: ", round},
		{listening("*:1 [::1]:1"), "x:3:11: ", round},
		{listening("10.0.0.1:1 10.0.0.1:1"), "x:3:11: ", round},
		{listening("localhost:1 localhost:1"), "x:3:11: ", round},
		{listening("0.0.0.0:1 [::1]:1"), "", ""},
		{listening("h:1 h:1"), "", ""},
		{listening("0.0.0.0:1 10.0.0.1:1"), "", ""},
		{listening("/run/r.sock /run/r.sock"), "x:3:11: ", round},
		{listening("127.0.0.1:1 127.0.0.1:2", "127.0.0.1:2 127.0.0.1:3"), "", ""},
		{listening("127.0.0.1:1 127.0.0.1:2", "127.0.0.1:2 127.0.0.1:3", "127.0.0.1:3 127.0.0.1:1"), "x:3:11: ", round},
		{listening("127.0.0.1:1 127.0.0.1:2", "127.0.0.1:2 127.0.0.1:2"), "x:6:11: ", round},
	} {
		_, _, err := Parse([]byte(test.text), "x")
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s\nerror %v", test.text, err)
		case test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.at) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s\nerror %v, want %s… %s", test.text, err, test.at, test.want)
		}
	}
}
