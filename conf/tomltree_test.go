package conf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// The tree's offsets are compared by the text that they enclose.
func TestParseTreeFindsKeysAndValues(t *testing.T) {
	t.Parallel()
	text := `# [comment]
top = 1
"quo\u0074ed" . 'key' = 'x # y' # [z]
[a . b] # header
list = [ "one, \"]", # ]
  '''two
]''', [ 3 , { in = """4""""" } ] , ]
date = 1979-05-27 07:32:00 # space inside
inline = { x = 1, y.z = [ ], w = {} }
[[many]]
k = 1
[[many]]
k = 2
[many.sub]
k = 3
[a]
late = inf`
	root := parseTree(text)
	for path, want := range map[string]string{
		"top":             "1",
		"quoted.key":      "'x # y'",
		"a.b.list.0":      `"one, \"]"`,
		"a.b.list.1":      "'''two\n]'''",
		"a.b.list.2.0":    "3",
		"a.b.list.2.1":    `{ in = """4""""" }`,
		"a.b.list.2.1.in": `"""4"""""`,
		"a.b.date":        "1979-05-27 07:32:00",
		"a.b.inline.x":    "1",
		"a.b.inline.y.z":  "[ ]",
		"a.b.inline.w":    "{}",
		"a.b":             "[a . b]",
		"many.0.k":        "1",
		"many.1.k":        "2",
		"many.1.sub.k":    "3",
		"a":               "[a]",
		"a.late":          "inf",
	} {
		n := root
		for part := range strings.SplitSeq(path, ".") {
			if index := 0; len(n.elems) > 0 {
				fmt.Sscan(part, &index)
				n = n.elems[index]
			} else if n = n.table[part]; n == nil {
				break
			}
		}
		if n == nil {
			t.Errorf("%s: not found", path)
		} else if got := text[n.start:n.end]; got != want {
			t.Errorf("%s is at %q, want %q", path, got, want)
		}
	}
	if key := root.table["a"].table["b"].key; text[key] != 'b' {
		t.Errorf("key b is at %q", text[key:])
	}
}

// FuzzScan compares the scanner with the library: for every text that the library
// accepts, both find the same keys and elements.
func FuzzScan(f *testing.F) {
	f.Add(example)
	f.Add("a.b = [ { c = 1 }, [], '''x''' ]\n[[d]]\n[d.e]\n\"\\u0041\" = 1 # x")
	f.Add("a = \"\\\"\"\nb = '\\'\nc = \"\"\"\"\"\"\nd = { e = [\n1,\n] }")
	f.Add("[[[[")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.TrimPrefix(text, "\uFEFF")
		root := parseTree(text) // must end, whatever the text
		var values map[string]any
		if _, err := toml.Decode(text, &values); err != nil || strings.HasPrefix(text, "\xff") || strings.HasPrefix(text, "\xfe") || strings.HasPrefix(text, "\uFEFF") {
			return
		}
		compare(t, text, "", root, values)
	})
}

func compare(t *testing.T, text, path string, n *node, v any) {
	if n == nil {
		t.Fatalf("%q: %s has no place", text, path)
	}
	if n.start < 0 || n.start > n.end || n.end > len(text) || n.key > len(text) {
		t.Fatalf("%q: %s is at %d:%d", text, path, n.start, n.end)
	}
	switch v := v.(type) {
	case map[string]any:
		if len(n.names) != len(v) {
			t.Fatalf("%q: %s has names %q, want %v", text, path, n.names, v)
		}
		for name, e := range v {
			compare(t, text, path+"."+name, n.table[name], e)
		}
	case []map[string]any:
		if len(n.elems) != len(v) {
			t.Fatalf("%q: %s has %d elements, want %d", text, path, len(n.elems), len(v))
		}
		for i, e := range v {
			compare(t, text, fmt.Sprint(path, i), n.elems[i], e)
		}
	case []any:
		if len(n.elems) != len(v) {
			t.Fatalf("%q: %s has %d elements, want %d", text, path, len(n.elems), len(v))
		}
		for i, e := range v {
			compare(t, text, fmt.Sprint(path, i), n.elems[i], e)
		}
	}
}
