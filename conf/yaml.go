package conf

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// IsYAML reports whether the name of a file says that it is YAML, as nutcracker's configurations are.
func IsYAML(name string) bool {
	return slices.Contains([]string{".yml", ".yaml"}, strings.ToLower(filepath.Ext(name)))
}

// looksLikeYAML reports whether a text is YAML and not TOML, by its first line that is no comment.
func looksLikeYAML(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return yamlPool.MatchString(line)
		}
	}
	return false
}

// yamlPool matches the line that begins a pool.
var yamlPool = regexp.MustCompile(`^[^\s:=\[\]]+:(\s+#.*)?$`)

// decodeYAML returns the values of a YAML text and the places of these: a table of pools, of which each is a
// table of scalars and lists of scalars. A scalar is a string here, as nutcracker has it, whether it has quotes
// or not. The values are nil after a mistake of syntax.
//
// The library stops at the first mistake. What nutcracker does not take either, such as anchors, is refused
// before the library's parser sees it, so no text makes it recurse deeply, and no alias is ever expanded.
func decodeYAML(r *report) (values map[string]any, root *node) {
	defer func() {
		if recover() != nil { // the library's; one file must not end the process that is asked to load it
			r.mistake(0, "", "syntax: this is not YAML: "+wantYAML)
			values = nil
		}
	}()
	if at := firstInvalid(r.text); at >= 0 {
		r.mistake(at, "", "syntax: a byte that is no UTF-8; want the file in UTF-8")
		return nil, nil
	}
	tokens := lexer.Tokenize(strings.ReplaceAll(r.text, "\r\n", " \n")) // the library counts lines wrongly otherwise
	if at, message := foreignToken(tokens); at != nil {
		r.mistake(r.offset(at), "", "syntax: "+message)
		return nil, nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // duplicates are reported by us
	if err != nil {
		r.yamlSyntax(err)
		return nil, nil
	}
	y := yamlReader{report: r}
	root = &node{}
	values = map[string]any{}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			y.mapping(doc.Body, "", root, values)
		}
	}
	return values, root
}

const wantYAML = `want lines such as "alpha:", and under it, indented by spaces, lines such as "listen: 127.0.0.1:22121"`

func firstInvalid(text string) int {
	for i := 0; i < len(text); {
		c, n := utf8.DecodeRuneInString(text[i:])
		if c == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// yamlFeatures are parts of YAML that nutcracker refuses, and what to write instead.
var yamlFeatures = map[token.Type]string{
	token.AnchorType:        "an anchor (&): nutcracker has none; want the value itself, in quotes if it begins with &",
	token.AliasType:         "an alias (*): nutcracker has none; want the value itself, in quotes if it begins with *",
	token.MergeKeyType:      "a merge key (<<): nutcracker has none; want all settings of a pool in the pool",
	token.TagType:           "a tag (!): nutcracker has none; want the value alone, in quotes if it begins with !",
	token.DirectiveType:     "a directive (%): nutcracker has none; want the value in quotes if it begins with %",
	token.MappingKeyType:    `a "?": want a key, a colon and a value`,
	token.SequenceStartType: `a list in brackets: nutcracker has none; want a line "- VALUE" for each entry, or quotes if the value begins with [`,
	token.MappingStartType:  `braces: nutcracker has none of these; want a line for each setting, or quotes, as in hash_tag: "{}"`,
	token.LiteralType:       "text of several lines (|): want the value in the line of its key",
	token.FoldedType:        "text of several lines (>): want the value in the line of its key",
	token.DocumentEndType:   "the end of a document (...): nutcracker has none; want this line removed",
}

// foreignToken returns the first token of a text that no nutcracker.yml has, and what is wrong with it; nil if
// there is none.
func foreignToken(tokens token.Tokens) (*token.Token, string) {
	for i, t := range tokens {
		if message := yamlFeatures[t.Type]; message != "" {
			return t, message
		}
		switch {
		case t.Type == token.InvalidType:
			return t, yamlMessage(t.Error)
		case t.Type == token.DocumentHeaderType && slices.ContainsFunc(tokens[:i], func(t *token.Token) bool { return t.Type != token.CommentType }):
			return t, "a second document (---): want all pools in one"
		case t.Type == token.SequenceEntryType && i > 0 && tokens[i-1].Type == token.SequenceEntryType && tokens[i-1].Position.Line == t.Position.Line:
			return t, `a list in a list: want one "-" before each entry`
		}
	}
	return nil, ""
}

// offset returns the place of a token. The library's own offsets are not those of bytes.
func (r *report) offset(t *token.Token) int {
	line := t.Position.Line
	if line < 1 || line > len(r.lines) {
		return len(r.text)
	}
	at := r.lines[line-1]
	for range t.Position.Column - 1 {
		_, n := utf8.DecodeRuneInString(r.text[at:])
		at += n
	}
	return at
}

// yamlSyntax reports the library's error.
func (r *report) yamlSyntax(err error) {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil {
		r.mistake(0, "", "syntax: this is not YAML; "+wantYAML)
		return
	}
	offset := r.offset(at.GetToken())
	message := yamlMessage(at.GetMessage())
	// A key without its colon is taken for text that goes on in the next line.
	for line := r.line(offset); line <= len(r.lines); line++ {
		text := lineOf(r, r.text, line)
		if m := noColon.FindStringSubmatchIndex(text); m != nil {
			offset, message = r.lines[line-1]+m[2], fmt.Sprintf("want a colon and a space behind the key, as in %s: VALUE", text[m[2]:m[3]])
		} else if strings.TrimSpace(text) == "" || strings.HasPrefix(strings.TrimSpace(text), "#") {
			continue
		}
		break
	}
	r.mistake(offset, "", "syntax: "+message)
}

// noColon matches a line with a key and no colon, or none with a space behind it.
var noColon = regexp.MustCompile(`^\s*([a-z_]+)(?:\s*=\s*|\s+|:)[^:\s#-]\S*\s*(?:#.*)?$`)

// yamlMessages are parts of the library's messages, and our messages for them.
var yamlMessages = []struct{ theirs, ours string }{
	{"found character '\t'", "a tab: want spaces, with which YAML indents"},
	{"tab character", "a tab: want spaces, with which YAML indents"},
	{"end character", "want a closing quote"},
	{"reserved character", "want the value in quotes, since YAML reserves this character"},
	{"mapping value is not allowed", "want one key and one value in a line, and the value in quotes if it has a colon and a space; or the indentation is wrong"},
	{"value is not allowed in this context", "the indentation is wrong: want all settings of a pool under each other, by spaces"},
	{"unexpected key name", "want a colon and a space behind the key, and the value in the same line"},
	{"non-map value is specified", "want a key, a colon and a space before the value"},
}

// yamlMessage returns our message for the library's. Those that it does not know could
// quote a part of the text.
func yamlMessage(message string) string {
	for _, m := range yamlMessages {
		if strings.Contains(message, m.theirs) {
			return m.ours
		}
	}
	return "this is not what YAML has here; " + wantYAML
}

// yamlReader turns the library's nodes into values and places.
type yamlReader struct{ report *report }

// mapping reads the keys and values of the text (pool "") or of one pool into a table.
func (y yamlReader) mapping(n ast.Node, pool string, into *node, values map[string]any) {
	where := ""
	if pool != "" {
		where = poolTable(pool)
	}
	entries, ok := n.(*ast.MappingNode)
	if !ok {
		y.report.mistake(y.report.offset(n.GetToken()), where, "want a key, a colon and a space before each value: "+wantYAML)
		return
	}
	for _, e := range entries.Values {
		key := e.Key.GetToken()
		at := y.report.offset(key)
		switch first := into.table[key.Value]; {
		case first != nil && pool == "":
			y.report.mistake(at, "", fmt.Sprintf("pool %q is in line %d already; want each pool once", key.Value, y.report.line(first.key)))
			continue
		case first != nil:
			y.report.mistake(at, where, fmt.Sprintf("key %q is in line %d already; want it once", key.Value, y.report.line(first.key)))
			continue
		}
		child := into.entry(key.Value, at)
		child.start, child.end = at, at+len(key.Value)
		if pool != "" {
			values[key.Value] = y.value(e, where, child)
			continue
		}
		table := map[string]any{}
		values[key.Value] = table
		switch {
		case isEmpty(e.Value):
			y.report.mistake(at, poolTable(key.Value), "the pool is empty; want its settings under it, indented by spaces")
		default:
			y.mapping(e.Value, key.Value, child, table)
		}
	}
}

// isEmpty reports whether there is no value behind a colon or a dash.
func isEmpty(n ast.Node) bool {
	null, ok := n.(*ast.NullNode)
	return ok && null.Token.Type == token.ImplicitNullType
}

// value reads what is behind a key of a pool: a string or a list of strings.
func (y yamlReader) value(e *ast.MappingValueNode, where string, at *node) any {
	list, ok := e.Value.(*ast.SequenceNode)
	if !ok {
		return y.scalar(e.Value, e.Key.GetToken(), where, e.Key.GetToken().Value, at)
	}
	at.start = y.report.offset(list.GetToken())
	at.end = at.start
	var values []any
	for _, v := range list.Values {
		element := &node{key: y.report.offset(v.GetToken())}
		at.elems = append(at.elems, element)
		values = append(values, y.scalar(v, list.GetToken(), where, e.Key.GetToken().Value, element))
		at.end = element.end
	}
	return values
}

// scalar reads one string; nil after a mistake. Before is the token that stands before it.
func (y yamlReader) scalar(n ast.Node, before *token.Token, where, key string, at *node) any {
	t := n.GetToken()
	at.start = y.report.offset(t)
	_, isScalar := n.(ast.ScalarNode)
	switch origin := strings.TrimSpace(t.Origin); {
	case isEmpty(n):
		y.report.mistake(y.report.offset(before), where, fmt.Sprintf("%s has no value; want one behind the colon, or this key removed", key))
	case !isScalar:
		y.report.mistake(at.start, where, fmt.Sprintf("%s: want a value in one line, not keys or lists under it", key))
	case strings.ContainsAny(origin, "\r\n"):
		at.start = y.report.offset(before)
		y.report.mistake(at.start, where, fmt.Sprintf("%s: a value that goes on in the next line; want each value in one line, and the same indentation for all lines of a list or pool", key))
	default:
		at.end = min(at.start+len(origin), len(y.report.text))
		return t.Value
	}
	at.end = at.start
	return nil
}
