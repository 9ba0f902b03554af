package conf

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxSyntaxMistakes bounds how many faults of syntax are reported: each costs
// another pass over the text.
const maxSyntaxMistakes = 20

// decode returns the values of a TOML text and the text that they are in.
//
// The library stops at the first fault of syntax. Users want to hear of
// everything at once, so a line with a fault is taken out, with nothing but
// spaces left in its place so that all offsets stay, and the rest is tried
// again. Nil values mean that this did not help.
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
			if text = withoutFault(r, text, line); text != "" {
				continue
			}
		} else if len(r.mistakes) == 0 {
			r.mistakes = append(r.mistakes, fault)
		}
		return nil, ""
	}
}

// syntaxMistake turns the library's error into a diagnostic, and returns its
// offset too.
func syntaxMistake(r *report, text string, err error) (int, Diagnostic) {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return 0, r.diagnostic(0, "", err.Error())
	}
	// The library's columns are sometimes those of the line before, its lines
	// and offsets are right.
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
		line-- // the library goes on looking for its end
		at = r.lines[line-1]
	}
	inList := listAround(r, text, line)
	switch hint, column := syntaxHint(lineOf(r, text, line), inList > 0); {
	case strings.HasSuffix(message, "already been defined"):
		message += "; want it once" + alreadyIn(r, text[:r.lines[line-1]], message)
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
		message = ourWords(message)
	}
	return at, r.diagnostic(at, tableOf(parse.LastKey), "syntax: "+message)
}

// isOpenHeader reports whether a line begins a table and lacks its closing bracket.
func isOpenHeader(line string) bool {
	line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
	return strings.HasPrefix(line, "[") && !strings.Contains(line, "]") && repairHeader(line) != line
}

// listAround returns the line, from 1, with the opening bracket of the list of
// several lines that a line is in, 0 if it is in none.
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

// libraryWords are beginnings of the library's messages, and what is said instead.
var libraryWords = []struct{ theirs, ours string }{
	{"expected a comma (',') or array terminator (']'), but got end of file", "want ] at the end of the list"},
	{"expected a comma", "want a comma before this, or ] at the end of the list"},
	{"expected a top-level item to end with", "want the end of the line here: one setting a line, and # before a comment"},
	{"expected '.' or '='", `want = after the name of the setting, as in timeout = "400ms"`},
	{"unexpected EOF; expected value", "want a value here: text in quotes, a number, true or false, or a list in brackets"},
	{"expected value but found", "want a value here: text in quotes, a number, true or false, or a list in brackets"},
	{"strings cannot contain newlines", "want a closing quote in this line"},
}

// ourWords returns the library's message in words for people who do not know TOML, or
// as it is.
func ourWords(message string) string {
	for _, w := range libraryWords {
		if strings.HasPrefix(message, w.theirs) {
			return w.ours
		}
	}
	return message
}

// alreadyIn says where in a text the key stands that the library's message names in
// single quotes.
func alreadyIn(r *report, text, message string) string {
	_, key, _ := strings.Cut(message, "'")
	key = key[:max(strings.LastIndex(key, "'"), 0)]
	path, n := &node{}, scan(text)
	for (&scanner{text: key}).keyPath(path); len(path.names) > 0; path = path.table[path.names[0]] {
		if n = n.last().table[path.names[0]]; n == nil {
			return ""
		}
	}
	return fmt.Sprintf(", it is in line %d already", r.line(n.key))
}

// tableOf returns the table that a dotted key is in, as diagnostics name it.
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
	// secretLine matches a setting that holds a password, or was meant to.
	// Neither it nor what the library says of it, which quotes it, is shown.
	secretLine  = regexp.MustCompile(`(?i)^\s*"?([a-z0-9_-]*(?:auth|pass)[a-z0-9_-]*)["\s:=]`)
	settingLine = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+)\s*=\s*([^\s#].*?)\s*(#.*)?$`)
	listStart   = regexp.MustCompile(`^\s*[A-Za-z0-9_-]+\s*=\s*\[[^\]]*$`)
	yamlLine    = regexp.MustCompile(`^\s*[A-Za-z0-9_-]+:(\s|$)|^---|^\s*- `)
	tomlLine    = regexp.MustCompile(`(?m)^\s*(\[|[A-Za-z0-9_."-]+\s*=)`)
)

const wantTOML = `want TOML: a [pools.NAME] header, then lines such as hash = "fnv1a_64"`

// otherFormat returns what to say of a text that was not meant to be TOML, and where;
// "" if it probably was.
func otherFormat(text string) (at int, what string) {
	if strings.Contains(text, "\x00") {
		return 0, "" // of UTF-16 the library says it
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
		return at, "this looks like YAML; " + wantTOML + ". docs/migration.md shows how a nutcracker.yml is written here; one without hash means hash = \"fnv1a_64\""
	case !toml && line != "":
		return at, "this does not look like TOML; " + wantTOML
	}
	return 0, ""
}

// syntaxHint returns what is probably meant by a line that is not TOML, and
// the offset in the line of what is wrong; "" if it can't tell. With inList, the
// line is one of a list.
func syntaxHint(line string, inList bool) (hint string, column int) {
	secret := secretLine.FindStringSubmatchIndex(line)
	if hint, column, ok := repaired(line, secret != nil, inList); ok {
		return hint, column
	}
	if secret != nil {
		return fmt.Sprintf(`want the password in one pair of quotes: %s = '...', or "..." with \" and \\ for quotes and backslashes in it`, line[secret[2]:secret[3]]), secret[2]
	}
	if m := settingLine.FindStringSubmatchIndex(line); m != nil && takesNumber(line[m[2]:m[3]]) && !strings.ContainsAny(line[m[4]:m[5]], `"'`) {
		return "want a whole number, of digits alone", m[4]
	}
	if yamlLine.MatchString(line) {
		return "this looks like YAML; " + wantTOML, 0
	}
	return "", 0
}

// withoutFault returns text with the smallest part around a faulty line
// blanked that leaves the rest in order: a setting that is on that line alone,
// or a table from its header to the next one. It returns "" if there is none.
func withoutFault(r *report, text string, line int) string {
	content := strings.TrimSpace(lineOf(r, text, line))
	last := line
	switch {
	case strings.HasPrefix(content, "["):
		for last < len(r.lines) && !strings.HasPrefix(strings.TrimSpace(lineOf(r, text, last+1)), "[") {
			last++
		}
	case secretLine.MatchString(content) && (isOdd(content, `"“”„«»`) || isOdd(content, "'‘’‚")):
		return "" // the password may go on below
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

// balanced reports whether a line opens no array, table or string that might go
// on below.
func balanced(line string) bool {
	return strings.Count(line, "[") == strings.Count(line, "]") &&
		strings.Count(line, "{") == strings.Count(line, "}") &&
		!strings.Contains(line, `"""`) && !strings.Contains(line, "'''")
}

// blank returns spaces in place of all bytes but ends of lines.
func blank(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c != '\n' {
			b[i] = ' '
		}
	}
	return string(b)
}

// lineOf returns a line of text, which has its lines where r's text has them.
func lineOf(r *report, text string, line int) string {
	start, end := r.lines[line-1], len(text)
	if line < len(r.lines) {
		end = r.lines[line] - 1
	}
	return strings.TrimSuffix(text[start:end], "\r")
}
