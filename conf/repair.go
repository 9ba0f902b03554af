package conf

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// repair is one way in which a line is not TOML: what it says of it, and a function
// that returns the line as it should be, or unchanged if that is not what is wrong.
type repair struct {
	want  string
	where int // the kinds of lines that it may be tried on
	do    func(line string) string
}

// Kinds of lines.
const (
	plain   = 1 << iota // a setting, a header, a comment
	secret              // the same, with a password, of which nothing is to be shown
	element             // one of a list that goes over several lines
)

// repairs are tried in this order, each on what the ones before have left.
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

// repaired returns what is wrong with a line of a text and how it should be, and the
// offset of that; not ok if it can't tell. Nothing of a line with a password is in
// what it returns.
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
			if form := strings.TrimSpace(fixed); kind != secret && !strings.HasPrefix(form, "#") && len(form) <= longestForm {
				what += ": " + form
			}
			return what, firstDifference(line, fixed), true
		}
	}
	return "", 0, false
}

// isRepairable reports whether it is known how a line should be.
func isRepairable(line string) bool {
	_, _, ok := repaired(line, secretLine.MatchString(line), false)
	return ok
}

// isTOML reports whether a line of that kind is right by itself.
func isTOML(line string, kind int) bool {
	if kind == element {
		line = "x = [\n" + line + "\n]"
	}
	var values map[string]any
	_, err := toml.Decode(line, &values)
	return err == nil
}

// longestForm is the longest line that an error shows as it should be, in bytes.
const longestForm = 400

// firstDifference returns the offset in a of where b differs, at the start of a
// character.
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

// repairBraces gives a table of one line its equals signs.
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

// repairBoolean writes true and false as TOML has them, where one of them is wanted.
func repairBoolean(line string) string {
	m := booleanLine.FindStringSubmatch(line)
	if m == nil || !takesBoolean(m[2]) {
		return line
	}
	word, ok := booleanOf(m[3])
	if !ok {
		return line
	}
	return m[1] + strconv.FormatBool(word) + m[4]
}

// booleanOf returns what a word for true or false means.
func booleanOf(word string) (value, ok bool) {
	switch strings.ToLower(word) {
	case "true", "yes", "on", "y", "1", "enable", "enabled":
		return true, true
	case "false", "no", "off", "n", "0", "disable", "disabled":
		return false, true
	}
	return false, false
}

// takesBoolean reports whether a setting of any table is true or false.
func takesBoolean(name string) bool {
	return takes(proxySettings, name, true) || takes(poolSettings, name, true) || takes(tlsSettings, name, true)
}

// takes reports whether a setting is content with a value.
func takes[T any](settings []setting[T], name string, with any) bool {
	i := slices.IndexFunc(settings, func(s setting[T]) bool { return s.name == name })
	if i < 0 {
		return false
	}
	r := newReport("", "")
	settings[i].set(&value{report: r, name: name, node: &node{}, v: with}, new(T))
	return len(r.mistakes) == 0
}

// repairList gives a list of one line its brackets, quotes and commas.
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

// repairNumber writes a whole number without what divides its digits, and without a
// letter for thousands or millions.
func repairNumber(line string) string {
	m := numberLine.FindStringSubmatch(line)
	if m == nil || !takesNumber(m[2]) {
		return line
	}
	digits := strings.Trim(strings.NewReplacer(",", "", "_", "", "'", "", ".", "", " ", "").Replace(m[3])+map[string]string{"k": "000", "m": "000000"}[strings.ToLower(m[4])], " ")
	return m[1] + digits + m[5]
}

// takesNumber reports whether a setting of the two tables is a whole number.
func takesNumber(name string) bool {
	return takes(proxySettings, name, int64(1)) || takes(poolSettings, name, int64(1))
}

func repairQuotes(line string) string {
	m := settingLine.FindStringSubmatchIndex(line)
	if m == nil || takesNumber(line[m[2]:m[3]]) {
		return line
	}
	written := strings.Trim(line[m[4]:m[5]], "`")
	if written == "" || strings.ContainsAny(written, "\"'[]{}`") {
		return line
	}
	return line[:m[4]] + strconv.Quote(written) + line[m[5]:]
}

// closeQuote ends a string that does not end.
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

// repairElement makes a string of an element of a list that goes over several lines.
func repairElement(line string) string {
	m := elementLine.FindStringSubmatch(line)
	if m == nil {
		return line
	}
	return strings.TrimRight(m[1]+strconv.Quote(m[3])+", "+m[4], " ")
}
