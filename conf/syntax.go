package conf

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
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
	content := lineOf(r, text, line)
	if strings.HasSuffix(message, "already been defined") {
		message += "; want it once"
	} else if hint, column := syntaxHint(content); hint != "" {
		message, at = hint, r.lines[line-1]+column
	}
	return at, r.diagnostic(at, tableOf(parse.LastKey), "syntax: "+message)
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
	yamlLine    = regexp.MustCompile(`^\s*[A-Za-z0-9_-]+:(\s|$)`)
)

// syntaxHint returns what is probably meant by a line that is not TOML, and
// the offset in the line of what is wrong; "" if it can't tell.
func syntaxHint(line string) (hint string, column int) {
	if m := secretLine.FindStringSubmatchIndex(line); m != nil {
		name := line[m[2]:m[3]]
		return fmt.Sprintf(`want the password in one pair of quotes: %s = '...', or "..." with \" and \\ for quotes and backslashes in it`, name), m[2]
	}
	if m := settingLine.FindStringSubmatchIndex(line); m != nil {
		name, written := line[m[2]:m[3]], line[m[4]:m[5]]
		if strings.ContainsAny(written, `"'[]{}`) {
			return "", 0
		}
		return "want quotes around the value: " + name + " = " + strconv.Quote(written), m[4]
	}
	if yamlLine.MatchString(line) {
		return `this looks like YAML; want TOML: a [pools.NAME] header, then lines such as hash = "fnv1a_64"`, 0
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
	case settingLine.MatchString(content) && balanced(content):
	default:
		return ""
	}
	start, end := r.lines[line-1], len(text)
	if last < len(r.lines) {
		end = r.lines[last] - 1
	}
	return text[:start] + blank(text[start:end]) + text[end:]
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
