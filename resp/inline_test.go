package resp

import (
	"fmt"
	"strings"
	"testing"
)

func TestInlineRequestsAreSplitAsRedisDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line string
		want []string // nil if the quotes are unbalanced
	}{
		{`SET k v`, []string{"SET", "k", "v"}},
		{"  SET\t k \v\f v  ", []string{"SET", "k", "v"}},
		{"a\vb", []string{"a\vb"}},
		{"a\rb", []string{"a", "b"}},
		{`ECHO "a b"`, []string{"ECHO", "a b"}},
		{`ECHO ""`, []string{"ECHO", ""}},
		{`ECHO ''`, []string{"ECHO", ""}},
		{`a"b c"`, []string{"ab c"}},
		{`a'b c' d`, []string{"ab c", "d"}},
		{`"\n\r\t\b\a\"\\\q"`, []string{"\n\r\t\b\a\"\\q"}},
		{`"\x41\xfF\x00"`, []string{"A\xff\x00"}},
		{`"\x4g\x"`, []string{"x4gx"}},
		{`"\x4"`, []string{"x4"}},
		{`'\x41\n\''`, []string{`\x41\n'`}},
		{`'"' "'"`, []string{`"`, `'`}},
		{`\x41`, []string{`\x41`}},
		{"\xc3\xa9 \xa0", []string{"\xc3\xa9", "\xa0"}},
		{`"a"b`, nil},
		{`'a'b`, nil},
		{`"a""b"`, nil},
		{`"a`, nil},
		{`'a`, nil},
		{`"a\"`, nil},
		{`"a\`, nil},
		{`'a\'`, nil},
		{`a"`, nil},
		{`SET "a b`, nil},
	} {
		want := "error Protocol error: unbalanced quotes in request"
		if c.want != nil {
			want = fmt.Sprintf("%d %q\nincomplete 0", len(c.line)+2, c.want)
		}
		if got := one(t, c.line+"\r\n", &DefaultLimits); got != want {
			t.Errorf("%s: %s, want %s", c.line, got, want)
		}
	}
}

func TestInlineSaysThatBytesAreNotToBeForwarded(t *testing.T) {
	t.Parallel()
	var p RequestParser
	for _, c := range []struct {
		in     string
		inline bool
	}{{"PING\r\n", true}, {"*1\r\n$4\r\nPING\r\n", false}, {"\r\n", true}, {"*0\r\n", false}} {
		if _, err := p.Parse([]byte(c.in), new(RequestState), &DefaultLimits); err != nil || p.Inline != c.inline {
			t.Errorf("%q: %v, %v", c.in, p.Inline, err)
		}
	}
}

func TestManyInlineWordsKeepTheirBytes(t *testing.T) {
	t.Parallel()
	words := strings.Fields(strings.Repeat("ab cde f ", 5000))
	in := strings.Join(words, " ") + "\n"
	want := fmt.Sprintf("%d %q\nincomplete 0", len(in), words)
	if got := one(t, in, &DefaultLimits); got != want {
		t.Errorf("%.100s, want %.100s", got, want)
	}
}
