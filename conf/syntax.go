package conf

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxSyntaxMistakes bounds how many mistakes of syntax are reported. Each takes
// another pass over the text.
const maxSyntaxMistakes = 20

// decode returns the values of a TOML text, and the text from which they were read.
//
// The library stops at the first mistake of syntax, but users want all mistakes at
// once. So decode replaces a faulty line by spaces, which keeps all offsets, and
// decodes the rest again. If that does not help, the values are nil.
func decode(r *report, text string) (map[string]any, string) {
	for before := 0; ; {
		var values map[string]any
		_, err := toml.Decode(text, &values)
		if err == nil {
			return values, text
		}
		if at, what := otherFormat(text); what != "" && before == 0 {
			r.mistake(at, "", "syntax: "+what)
			return nil, ""
		}
		at, fault := syntaxMistake(r, text, err)
		if line := r.line(at); line > before && len(r.mistakes) < maxSyntaxMistakes {
			r.mistakes = append(r.mistakes, fault)
			before = line
			if text = withoutFaultyLine(r, text, line); text != "" {
				continue
			}
		} else if len(r.mistakes) == 0 {
			r.mistakes = append(r.mistakes, fault)
		}
		return nil, ""
	}
}

// syntaxMistake returns the library's error as a diagnostic, and its offset in the
// text.
func syntaxMistake(r *report, text string, err error) (int, Diagnostic) {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return 0, r.diagnostic(0, "", err.Error())
	}
	// The library's columns are sometimes those of the line before. Its lines and
	// offsets are right.
	line := min(max(parse.Position.Line, 1), len(r.lines))
	at := parse.Position.Start
	if at > len(text) || r.line(at) != line {
		at = r.lines[line-1]
	}
	message := strings.TrimSuffix(parse.Message, ".")
	if message == "" {
		message = err.Error()
	}
	if line > 1 && isOpenHeader(lineOf(r, text, line-1)) {
		line-- // the library reports the line after the open header
		at = r.lines[line-1]
	}
	inList := listAround(r, text, line)
	switch hint, column := syntaxHint(lineOf(r, text, line), inList > 0); {
	case strings.HasSuffix(message, "already been defined"):
		message += "; want it once" + firstDefinition(r, text[:r.lines[line-1]], message)
	case strings.Contains(message, "'0x0d'"):
		message = "a carriage return within a line; want lines that end in a line feed, with or without a carriage return before it"
	case hint != "":
		message, at = hint, r.lines[line-1]+column
	case inList > 0 && strings.Contains(message, "EOF"):
		message = fmt.Sprintf("want ] at the end of the list, which begins in line %d", inList)
	case inList > 0 && strings.HasPrefix(message, "expected a comma"):
		message = fmt.Sprintf("want a comma before this, or ] at the end of the list, which begins in line %d", inList)
	case strings.Contains(message, "EOF") && listStart.MatchString(lineOf(r, text, line)):
		message = "want ] at the end of the list"
	default:
		message = plainMessage(message)
	}
	return at, r.diagnostic(at, tableOf(parse.LastKey), "syntax: "+message)
}

// isOpenHeader reports whether a line is a table's header without its closing bracket.
func isOpenHeader(line string) bool {
	line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
	return strings.HasPrefix(line, "[") && !strings.Contains(line, "]") && repairHeader(line) != line
}

// listAround returns the number, from 1, of the line that opens the list of several
// lines around a line; 0 if there is no such list.
func listAround(r *report, text string, line int) int {
	for line--; line > 0; line-- {
		switch above := lineOf(r, text, line); {
		case listStart.MatchString(above):
			return line
		case settingLine.MatchString(above), strings.HasPrefix(strings.TrimSpace(above), "["):
			return 0
		}
	}
	return 0
}

// libraryMessages are beginnings of the library's messages, and our messages for them.
var libraryMessages = []struct{ theirs, ours string }{
	{"expected a comma (',') or array terminator (']'), but got end of file", "want ] at the end of the list"},
	{"expected a comma", "want a comma before this, or ] at the end of the list"},
	{"expected a top-level item to end with", "want the end of the line here: one setting a line, and # before a comment"},
	{"expected '.' or '='", `want = after the name of the setting, as in timeout = "400ms"`},
	{"unexpected EOF; expected value", "want a value here: text in quotes, a number, true or false, or a list in brackets"},
	{"expected value but found", "want a value here: text in quotes, a number, true or false, or a list in brackets"},
	{"strings cannot contain newlines", "want a closing quote in this line"},
}

// plainMessage returns our message for the library's, for people who do not know TOML;
// the library's own if there is none.
func plainMessage(message string) string {
	for _, w := range libraryMessages {
		if strings.HasPrefix(message, w.theirs) {
			return w.ours
		}
	}
	return message
}

// firstDefinition returns the end of a message: in which line of the text the key is that
// the library's message names in single quotes; "" if it is not found.
func firstDefinition(r *report, text, message string) string {
	_, key, _ := strings.Cut(message, "'")
	key = key[:max(strings.LastIndex(key, "'"), 0)]
	path, n := &node{}, parseTree(text)
	for (&scanner{text: key}).keyPath(path); len(path.names) > 0; path = path.table[path.names[0]] {
		if n = n.last().table[path.names[0]]; n == nil {
			return ""
		}
	}
	return fmt.Sprintf(", it is in line %d already", r.line(n.key))
}

// tableOf returns the table of a dotted key, as diagnostics name it.
func tableOf(key string) string {
	root := &node{}
	(&scanner{text: key}).keyPath(root)
	top := root.names[0]
	switch under := root.table[top].names; {
	case len(under) == 0:
		return ""
	case top == "pools":
		return poolTable(under[0])
	case top == "proxy":
		return top
	}
	return ""
}

var (
	// secretLine matches a setting that holds a password, or was meant to. No message
	// shows it, nor the library's message, which quotes it.
	secretLine  = regexp.MustCompile(`(?i)^\s*"?([a-z0-9_-]*(?:auth|pass)[a-z0-9_-]*)["\s:=]`)
	settingLine = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+)\s*=\s*([^\s#].*?)\s*(#.*)?$`)
	listStart   = regexp.MustCompile(`^\s*[A-Za-z0-9_-]+\s*=\s*\[[^\]]*$`)
	yamlLine    = regexp.MustCompile(`^\s*[A-Za-z0-9_-]+:(\s|$)|^---|^\s*- `)
	tomlLine    = regexp.MustCompile(`(?m)^\s*(\[|[A-Za-z0-9_."-]+\s*=)`)
)

const wantTOML = `want TOML: a [pools.NAME] header, then lines such as hash = "fnv1a_64"`

// otherFormat returns a message for a text that was probably not meant to be TOML, and the
// offset of its first line; "" if it was.
func otherFormat(text string) (at int, what string) {
	if strings.Contains(text, "\x00") {
		return 0, "" // the library recognises UTF-16
	}
	line, start := "", 0
	for all := range strings.Lines(text) {
		if line = strings.TrimRight(all, " \t\r\n"); line != "" && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			at = start
			break
		}
		line, start = "", start+len(all)
	}
	switch toml := tomlLine.MatchString(text); {
	case strings.HasPrefix(strings.TrimSpace(line), "{"):
		return at, "this looks like JSON; " + wantTOML
	case !toml && yamlLine.MatchString(line):
		return at, "this looks like YAML; " + wantTOML + ". docs/migration.md shows how a nutcracker.yml is written here; one without hash means hash = \"fnv1a_64\", and one without hash_tag hash_tag = \"\""
	case !toml && line != "":
		return at, "this does not look like TOML; " + wantTOML
	}
	return 0, ""
}

// syntaxHint returns a message that says what a line that is not TOML probably means,
// and the offset of the mistake in the line; "" if it does not know. With inList the
// line is an element of a list.
func syntaxHint(line string, inList bool) (hint string, column int) {
	secret := secretLine.FindStringSubmatchIndex(line)
	if hint, column, ok := repaired(line, secret != nil, inList); ok {
		return hint, column
	}
	if secret != nil {
		return fmt.Sprintf(`want the password in one pair of quotes: %s = '...', or "..." with \" and \\ for quotes and backslashes in it`, line[secret[2]:secret[3]]), secret[2]
	}
	if m := settingLine.FindStringSubmatchIndex(line); m != nil && acceptsNumber(line[m[2]:m[3]]) && !strings.ContainsAny(line[m[4]:m[5]], `"'`) {
		return "want a whole number, of digits alone", m[4]
	}
	if yamlLine.MatchString(line) {
		return "this looks like YAML; " + wantTOML, 0
	}
	return "", 0
}

// withoutFaultyLine returns text with the smallest part around a faulty line blanked
// that leaves the rest valid: a setting on that line alone, or a table from its header
// to the next one. It returns "" if there is none.
func withoutFaultyLine(r *report, text string, line int) string {
	content := strings.TrimSpace(lineOf(r, text, line))
	last := line
	switch {
	case strings.HasPrefix(content, "["):
		for last < len(r.lines) && !strings.HasPrefix(strings.TrimSpace(lineOf(r, text, last+1)), "[") {
			last++
		}
	case secretLine.MatchString(content) && (isOdd(content, `"“”„«»`) || isOdd(content, "'‘’‚")):
		return "" // the password may continue on the next line
	case settingLine.MatchString(content) && balanced(content):
	case listAround(r, text, line) > 0:
	case isRepairable(content):
	default:
		return ""
	}
	start, end := r.lines[line-1], len(text)
	if last < len(r.lines) {
		end = r.lines[last] - 1
	}
	return text[:start] + blank(text[start:end]) + text[end:]
}

// isOdd reports whether a line has an odd number of the characters of a set.
func isOdd(line, set string) bool {
	n := 0
	for _, c := range line {
		if strings.ContainsRune(set, c) {
			n++
		}
	}
	return n%2 == 1
}

// balanced reports whether a line opens no array, table or string that may continue on
// the next line.
func balanced(line string) bool {
	return strings.Count(line, "[") == strings.Count(line, "]") &&
		strings.Count(line, "{") == strings.Count(line, "}") &&
		!strings.Contains(line, `"""`) && !strings.Contains(line, "'''")
}

// blank replaces all bytes but line feeds by spaces.
func blank(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c != '\n' {
			b[i] = ' '
		}
	}
	return string(b)
}

// lineOf returns a line, from 1, of a text whose lines have the offsets of r's text.
func lineOf(r *report, text string, line int) string {
	start, end := r.lines[line-1], len(text)
	if line < len(r.lines) {
		end = r.lines[line] - 1
	}
	return strings.TrimSuffix(text[start:end], "\r")
}
