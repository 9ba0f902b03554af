package conf

import (
	"strings"
	"testing"
)

func TestListenForms(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want Listen
		err  string // a part of the error
	}{
		{"127.0.0.1:22121", Listen{"tcp", "127.0.0.1:22121", 0}, ""},
		{"localhost:022121", Listen{"tcp", "localhost:22121", 0}, ""},
		{"127.0.0.1:0", Listen{"tcp", "127.0.0.1:0", 0}, ""},
		{"[::1]:1", Listen{"tcp", "[::1]:1", 0}, ""},
		{"::1:22121", Listen{"tcp", "[::1]:22121", 0}, ""}, // as twemproxy splits it
		{"[fe80::1%eth0]:65535", Listen{"tcp", "[fe80::1%eth0]:65535", 0}, ""},
		{"/run/a.sock", Listen{"unix", "/run/a.sock", 0}, ""},
		{"/run/a.sock 0777", Listen{"unix", "/run/a.sock", 0o777}, ""},
		{"/run/a b:c 600", Listen{"unix", "/run/a b:c", 0o600}, ""},
		{"/run/a.sock 1777", Listen{}, "permissions"},
		{"/run/a.sock 0", Listen{}, "permissions"},
		{"/run/a.sock ", Listen{}, "permissions"},
		{"/", Listen{}, "absolute path"},
		{"a.sock", Listen{}, `want "host:port"`},
		{"", Listen{}, `want "host:port"`},
		{"h:1 2", Listen{}, `want "host:port"`},
		{"*:1", Listen{"tcp", ":1", 0}, ""},
		{":1", Listen{}, `"*:1" listens on all`},
		{"*:", Listen{}, `port ""`},
		{"h:-1", Listen{}, `port "-1"`},
		{"h:+1", Listen{}, `port "+1"`},
		{"h:", Listen{}, `port ""`},
		{"h:65536", Listen{}, "want 1 to 65535"},
		{"[::1:1", Listen{}, `want "]"`},
		{"[127.0.0.1]:1", Listen{}, "want an IPv6 address"},
		{"1.2.3:1", Listen{}, "want an IPv4 address"},
	} {
		got, err := parseListen(test.text)
		checkParsed(t, "parseListen", test.text, got, test.want, err, test.err)
	}
}

// Names decide where keys are, so derived names must be twemproxy's.
func TestServerForms(t *testing.T) {
	t.Parallel()
	tcp := func(name, addr string, weight int) Server { return Server{name, "tcp", addr, weight} }
	unix := func(name, addr string, weight int) Server { return Server{name, "unix", addr, weight} }
	for _, test := range []struct {
		text string
		want Server
		err  string // a part of the error
	}{
		// As twemproxy takes them.
		{"127.0.0.1:6379:1 alpha1", tcp("alpha1", "127.0.0.1:6379", 1), ""},
		{"127.0.0.1:6379:2", tcp("127.0.0.1:6379", "127.0.0.1:6379", 2), ""},
		{"127.0.0.1:11211:1", tcp("127.0.0.1", "127.0.0.1:11211", 1), ""},
		{"127.0.0.1:11211:1 m", tcp("m", "127.0.0.1:11211", 1), ""},
		{"redis_1.example.com:6379:2147483647", tcp("redis_1.example.com:6379", "redis_1.example.com:6379", 2147483647), ""},
		{"::1:6379:1", tcp("::1:6379", "[::1]:6379", 1), ""},
		{"::1:11211:1", tcp("::1", "[::1]:11211", 1), ""},
		{"fe80::1%lo:6379:1 x", tcp("x", "[fe80::1%lo]:6379", 1), ""},
		{"2001:db8::7:5:6379", tcp("2001:db8::7:5", "[2001:db8::7]:5", 6379), ""},
		{"h:06379:01", tcp("h:06379", "h:6379", 1), ""},
		{"/tmp/a.sock:3", unix("/tmp/a.sock:", "/tmp/a.sock", 3), ""},
		{"/tmp/a.sock:3 u", unix("u", "/tmp/a.sock", 3), ""},
		{"/tmp/a b:3 u", unix("u", "/tmp/a b", 3), ""},

		// And what may be left out, and brackets.
		{"localhost:6379", tcp("localhost:6379", "localhost:6379", 1), ""},
		{"localhost:6379 a", tcp("a", "localhost:6379", 1), ""},
		{"localhost:11211", tcp("localhost", "localhost:11211", 1), ""},
		{"[::1]:6379", tcp("::1:6379", "[::1]:6379", 1), ""},
		{"[::1]:6379:4 a", tcp("a", "[::1]:6379", 4), ""},
		{"[::1]:11211:4", tcp("::1", "[::1]:11211", 4), ""},
		{"/tmp/a.sock", unix("/tmp/a.sock:", "/tmp/a.sock", 1), ""},
		{"/tmp/a.sock u", unix("u", "/tmp/a.sock", 1), ""},

		{"", Server{}, "want \"host:port:weight name\""},
		{"localhost", Server{}, "want \"host:port:weight name\""},
		{"localhost:6379:1 ", Server{}, "want \"host:port:weight name\""},
		{"localhost:6379:1  a", Server{}, "want \"host:port:weight name\""},
		{"localhost:6379:1 a\tb", Server{}, "want \"host:port:weight name\""},
		{":6379:1", Server{}, "want a host"},
		{"localhost:6379:0", Server{}, `weight "0"`},
		{"localhost:6379:-1", Server{}, `weight "-1"`},
		{"localhost:6379:2147483648", Server{}, `weight "2147483648"`},
		{"localhost:6379:", Server{}, `weight ""`},
		{"localhost:0:1", Server{}, `port "0"`},
		{"localhost::1", Server{}, `port ""`},
		{"::1:6379", Server{}, `"[::1]:6379"`},
		{"[::1]6379", Server{}, "want \"host:port:weight name\""},
		{"[::1]", Server{}, "want \"host:port:weight name\""},
		{"[::1]:1:2:3", Server{}, "want \"host:port:weight name\""},
		{"a:b:c:d", Server{}, "want an IPv6 address"},
		{"/tmp/a:1:1", Server{}, "without a colon"},
		{"/tmp/a:", Server{}, `weight ""`},
		{"/:1", Server{}, "absolute path"},
		{"/" + strings.Repeat("x", 200), Server{}, "201 bytes"},
	} {
		got, err := parseServer(test.text)
		checkParsed(t, "parseServer", test.text, got, test.want, err, test.err)
	}
}

func checkParsed[T comparable](t *testing.T, f, text string, got, want T, err error, part string) {
	t.Helper()
	switch {
	case part == "" && err != nil:
		t.Errorf("%s(%q): %v", f, text, err)
	case part != "" && (err == nil || !strings.Contains(err.Error(), part)):
		t.Errorf("%s(%q): error %v, want one with %q", f, text, err, part)
	case part == "" && got != want:
		t.Errorf("%s(%q) = %+v, want %+v", f, text, got, want)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0B": 0, "1b": 1, "1KB": 1024, "1kib": 1024, "3 MB": 3 << 20, "3MiB": 3 << 20, "2GB": 2 << 30,
		"9223372036854775807B": 1<<63 - 1, "9999999999GB": 1<<63 - 1, "99999999999999999999B": 1<<63 - 1,
		"": -1, "B": -1, "KB": -1, "1": -1, "1k": -1, "1.5KB": -1, "-1KB": -1, "+1KB": -1, "1TB": -1, "1 KB ": -1, "0x1KB": -1,
	} {
		got, ok := parseSize(text)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("parseSize(%q) = %d, %t, want %d", text, got, ok, want)
		}
	}
}
