package conf

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// repair corrects one kind of mistake in a line that is not TOML.
type repair struct {
	want  string                   // what the line lacks, for the message
	where int                      // the kinds of lines to try it on
	do    func(line string) string // returns the corrected line, or the line unchanged if it has another mistake
}

// Kinds of lines.
const (
	plain   = 1 << iota // a setting, a header, a comment
	secret              // the same, with a password: no part of it may be shown
	element             // an element of a list of several lines
)

// repairs are tried in this order, each on the result of those before.
var repairs = []repair{
	{"plain quotes", plain | secret | element, strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`, "‘", "'", "’", "'", "‚", "'").Replace},
	{"# before a comment", plain | secret | element, func(line string) string { return commentLine.ReplaceAllString(line, "$1# $3") }},
	{"the header in brackets", plain | secret, repairHeader},
	{"no comma or semicolon at the end", plain | secret, func(line string) string { return trailing.ReplaceAllString(line, "$1$2") }},
	{"= between key and value", plain | secret, func(line string) string { return separator.ReplaceAllString(line, "$1 = $2") }},
	{"= between key and value within braces", plain, repairBraces},
	{"true or false", plain, repairBoolean},
	{"a whole number, of digits alone", plain, repairNumber},
	{"a list in brackets, with quotes and commas", plain, repairList},
	{"quotes around the value", plain, repairQuotes},
	{"a closing quote", plain | element, closeQuote},
	{"quotes around the value, and a comma", element, repairElement},
}

var (
	commentLine = regexp.MustCompile(`^(\s*)(//|;|--\s)\s*(.*)$`)
	trailing    = regexp.MustCompile(`^(.*\S)\s*[,;](\s*(?:#.*)?)$`)
	separator   = regexp.MustCompile(`^(\s*[A-Za-z0-9_-]+)\s*(?:==|:=|=>|=:|:|\s)\s*([^=\s].*)$`)
	booleanLine = regexp.MustCompile(`^(\s*([A-Za-z0-9_-]+)\s*=\s*)([A-Za-z]+)(\s*(?:#.*)?)$`)
	listLine    = regexp.MustCompile(`^(\s*[A-Za-z0-9_-]+\s*=\s*)(\[[^\[\]#]*\]|\([^()#]*\)|\{[^{}=#]*\}|"[^\[\]#]*"\s*,[^\[\]#]*)(\s*(?:#.*)?)$`)
	bareList    = regexp.MustCompile(`^(\s*(?:servers|sentinels|masters|allow_commands|deny_commands)\s*=\s*)([^"'\s\[({#][^"'\[\](){}#]*?)(\s*(?:#.*)?)$`)
	numberLine  = regexp.MustCompile(`^(\s*([A-Za-z0-9_-]+)\s*=\s*)(\d[\d,_.' ]*?)([kKmM]?)(\s*(?:#.*)?)$`)
	bracedColon = regexp.MustCompile(`([{,]\s*[A-Za-z0-9_-]+)\s*:\s*(["'\[{\dtf])`)
	headerLine  = regexp.MustCompile(`^\s*(\[\[?)\s*([^\[\]#]*?)[:,\s]*(\]*)[:,;\s]*(#.*)?$`)
	poolWords   = regexp.MustCompile(`^pools?[\s:/]+"?([A-Za-z0-9_-]+)"?$`)
	bareWords   = regexp.MustCompile(`^[A-Za-z0-9_-]+(\s*\.\s*[A-Za-z0-9_-]+)*$`)
	elementLine = regexp.MustCompile(`^(\s*)(-\s+)?([^\s"'\[\]{}#=-][^"'\[\]{}#=]*?),?\s*(#.*)?$`)
	quotedParts = regexp.MustCompile(`"[^"]*"|'[^']*'|[^,;"'\s](?:[^,;"']*[^,;"'\s])?`)
)

// repaired returns a message that says what is wrong with a line and how to write it, and
// the offset of the mistake in the line. It reports false if no repair helps. The
// message shows no part of a line with a password.
func repaired(line string, withPassword, inList bool) (what string, column int, ok bool) {
	kind := plain
	if inList {
		kind = element
	}
	if withPassword {
		kind = secret
	}
	fixed := line
	var wants []string
	for _, r := range repairs {
		if r.where&kind == 0 {
			continue
		}
		next := r.do(fixed)
		if next == fixed {
			continue
		}
		fixed = next
		if wants = append(wants, r.want); isTOML(fixed, kind) {
			what = "want " + listed(wants, "and")
			if form := strings.TrimSpace(fixed); kind != secret && !strings.HasPrefix(form, "#") && len(form) <= maxShownLine {
				what += ": " + form
			}
			return what, firstDifference(line, fixed), true
		}
	}
	return "", 0, false
}

// isRepairable reports whether a repair makes a line right.
func isRepairable(line string) bool {
	_, _, ok := repaired(line, secretLine.MatchString(line), false)
	return ok
}

// isTOML reports whether a line of that kind is TOML by itself.
func isTOML(line string, kind int) bool {
	if kind == element {
		line = "x = [\n" + line + "\n]"
	}
	var values map[string]any
	_, err := toml.Decode(line, &values)
	return err == nil
}

// maxShownLine is the longest corrected line that a message shows, in bytes.
const maxShownLine = 400

// firstDifference returns the offset in a of the first character in which b differs.
func firstDifference(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	for i > 0 && i < len(a) && a[i]&0xC0 == 0x80 {
		i--
	}
	return i
}

// repairBraces replaces colons in an inline table by equals signs.
func repairBraces(line string) string {
	if !strings.Contains(line, "{") {
		return line
	}
	return bracedColon.ReplaceAllString(line, "$1 = $2")
}

func repairHeader(line string) string {
	m := headerLine.FindStringSubmatch(line)
	if m == nil || m[2] == "" || m[1] != "[" && m[1] != "[[" {
		return line
	}
	name := m[2]
	switch {
	case bareWords.MatchString(name):
	case poolWords.MatchString(name):
		name = poolWords.ReplaceAllString(name, "pools.$1")
	case strings.HasPrefix(name, "pools.") && !strings.ContainsAny(name, `"'`):
		name = "pools." + strconv.Quote(strings.TrimPrefix(name, "pools."))
	default:
		return line
	}
	closing := "]"
	if m[1] == "[[" {
		closing = "]]"
	}
	return strings.TrimRight(m[1]+name+closing+" "+m[4], " ")
}

// repairBoolean writes true or false for words such as yes and off, if the setting takes
// a boolean.
func repairBoolean(line string) string {
	m := booleanLine.FindStringSubmatch(line)
	if m == nil || !acceptsBoolean(m[2]) {
		return line
	}
	word, ok := booleanOf(m[3])
	if !ok {
		return line
	}
	return m[1] + strconv.FormatBool(word) + m[4]
}

// booleanOf returns the boolean that a word such as yes or off means, if it means one.
func booleanOf(word string) (value, ok bool) {
	switch strings.ToLower(word) {
	case "true", "yes", "on", "y", "1", "enable", "enabled":
		return true, true
	case "false", "no", "off", "n", "0", "disable", "disabled":
		return false, true
	}
	return false, false
}

// acceptsBoolean reports whether a setting of any table accepts true.
func acceptsBoolean(name string) bool {
	return accepts(proxySettings, name, true) || accepts(poolSettings, name, true) || accepts(tlsSettings, name, true)
}

// accepts reports whether a setting accepts a value.
func accepts[T any](settings []setting[T], name string, with any) bool {
	i := slices.IndexFunc(settings, func(s setting[T]) bool { return s.name == name })
	if i < 0 {
		return false
	}
	r := newReport("", "")
	settings[i].set(&value{report: r, name: name, node: &node{}, v: with}, new(T))
	return len(r.mistakes) == 0
}

// repairList adds brackets, quotes and commas to a list of one line.
func repairList(line string) string {
	m := listLine.FindStringSubmatch(line)
	if m == nil {
		m = bareList.FindStringSubmatch(line)
	}
	if m == nil {
		return line
	}
	parts := quotedParts.FindAllString(strings.Trim(m[2], "[](){}"), -1)
	for i, part := range parts {
		if part[0] != '"' && part[0] != '\'' {
			parts[i] = strconv.Quote(part)
		}
	}
	return m[1] + "[" + strings.Join(parts, ", ") + "]" + m[3]
}

// repairNumber removes separators between the digits of a whole number, and replaces k
// and m by zeros.
func repairNumber(line string) string {
	m := numberLine.FindStringSubmatch(line)
	if m == nil || !acceptsNumber(m[2]) {
		return line
	}
	digits := strings.Trim(strings.NewReplacer(",", "", "_", "", "'", "", ".", "", " ", "").Replace(m[3])+map[string]string{"k": "000", "m": "000000"}[strings.ToLower(m[4])], " ")
	return m[1] + digits + m[5]
}

// acceptsNumber reports whether a setting of a pool or of the proxy accepts a whole number.
func acceptsNumber(name string) bool {
	return accepts(proxySettings, name, int64(1)) || accepts(poolSettings, name, int64(1))
}

func repairQuotes(line string) string {
	m := settingLine.FindStringSubmatchIndex(line)
	if m == nil || acceptsNumber(line[m[2]:m[3]]) {
		return line
	}
	written := strings.Trim(line[m[4]:m[5]], "`")
	if written == "" || strings.ContainsAny(written, "\"'[]{}`") {
		return line
	}
	return line[:m[4]] + strconv.Quote(written) + line[m[5]:]
}

// closeQuote adds a missing closing quote.
func closeQuote(line string) string {
	if strings.Contains(line, "#") {
		return line
	}
	end := ""
	if strings.HasSuffix(line, ",") {
		end = ","
	}
	line = strings.TrimRight(strings.TrimSuffix(line, ","), " \t")
	for _, quote := range []string{`"`, "'"} {
		if strings.Count(line, quote) == 1 {
			return line + quote + end
		}
	}
	return line + end
}

// repairElement quotes an element of a list of several lines.
func repairElement(line string) string {
	m := elementLine.FindStringSubmatch(line)
	if m == nil {
		return line
	}
	return strings.TrimRight(m[1]+strconv.Quote(m[3])+", "+m[4], " ")
}
