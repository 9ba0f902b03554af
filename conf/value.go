package conf

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// value is one setting of the text, on its way into a Config. Its methods store it if
// it is valid, and report what is wrong otherwise.
type value struct {
	report  *report
	partial bool   // part of its table was left out because of its syntax
	table   string // as diagnostics name it
	name    string // the key
	node    *node
	v       any // as the TOML library decodes it into an any

	siblings []string // all keys that its table may have
}

// fail reports that the value is wrong, naming it as it was written.
func (v *value) fail(format string, args ...any) {
	v.failAt(v.node, strings.TrimLeft(v.rawOf(v.node)+": ", ": ")+fmt.Sprintf(format, args...))
}

// failAt reports a mistake in a part of the value.
func (v *value) failAt(n *node, message string) {
	v.report.mistake(n.start, v.table, v.name+" "+message)
}

// rawOf returns the value of n as it was written, shortened to fit a line.
func (v *value) rawOf(n *node) string {
	const longest = 60
	raw, _, more := strings.Cut(withoutCredentials(strings.ToValidUTF8(v.report.text[n.start:n.end], "?")), "\n")
	runes := []rune(strings.TrimRight(raw, "\r"))
	if len(runes) > longest {
		runes, more = runes[:longest], true
	}
	if more {
		return string(runes) + "..."
	}
	return string(runes)
}

// text returns the value if it is a string. Want is an example for the message.
func (v *value) text(want string) (string, bool) {
	s, ok := v.v.(string)
	if !ok {
		v.fail("want a quoted string, such as %s", strconv.Quote(want))
	}
	return s, ok
}

func (v *value) boolean(into *bool) {
	b, ok := v.v.(bool)
	meant, known := booleanOf(fmt.Sprint(v.v))
	switch {
	case !ok && known:
		v.fail("want %t, without quotes", meant)
	case !ok:
		v.fail("want true or false, without quotes")
	default:
		*into = b
	}
}

// integer stores a number from low to high.
func (v *value) integer(into *int, low, high int) {
	n, ok := v.v.(int64)
	switch {
	case !ok:
		v.fail("want a whole number without quotes, %s", span(low, high))
	case n < int64(low) || n > int64(high):
		v.fail("want %s", span(low, high))
	default:
		*into = int(n)
	}
}

func span(low, high int) string {
	if high == math.MaxInt32 {
		return fmt.Sprintf("%d or more", low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

// word stores one of the known words, and reports whether it did. The previous content
// of into is the example for the message.
func (v *value) word(into *string, known []string) bool { return v.oneOf(into, known, unknown) }

// placement is word for a word that decides where keys are.
func (v *value) placement(into *string, known []string) { v.oneOf(into, known, unknownPlacement) }

// oneOf stores one of the known words. For any other word it reports the message of
// other.
func (v *value) oneOf(into *string, known []string, other func(word string, known []string) string) bool {
	s, ok := v.text(cmp.Or(*into, known[0]))
	switch {
	case !ok:
	case slices.Contains(known, s):
		*into = s
		return true
	default:
		v.failAt(v.node, v.rawOf(v.node)+" "+other(s, known))
	}
	return false
}

// list calls set with each element of a list of strings, at least one, and reports
// its errors. The example is one of an element.
func (v *value) list(example string, set func(at *node, s string) error) {
	want := fmt.Sprintf(`a list of quoted strings, such as [%q]`, example)
	list, ok := v.v.([]any)
	if s, text := v.v.(string); text && strings.TrimSpace(s) != "" && !strings.ContainsAny(s, "\"'[]{}") && !strings.Contains(s, "://") && len(s) <= maxShownLine {
		want = "a list of quoted strings: " + strings.TrimSpace(repairList("x = [" + s + "]")[len("x ="):])
	}
	if !ok || len(list) != len(v.node.elems) {
		v.fail("want %s", want)
		return
	}
	if len(list) == 0 {
		if v.partial {
			return // its elements may be in the part that was left out
		}
		v.fail("want at least one, in %s", want)
		return
	}
	for i, e := range list {
		at := v.node.elems[i]
		err := fmt.Errorf("want a quoted string, such as %q", example)
		if s, ok := e.(string); ok {
			err = set(at, s)
		}
		if err != nil {
			v.failAt(at, "entry "+v.rawOf(at)+": "+err.Error())
		}
	}
}

// entries calls set with each entry of a table with keys of the user's choice, in the
// order of the text. The example is one of a table.
func (v *value) entries(example string, set func(at *node, key string, entry any)) {
	table, ok := v.v.(map[string]any)
	if !ok {
		v.fail("want a table, such as %s", example)
		return
	}
	for _, key := range v.node.names {
		set(v.node.table[key], key, table[key])
	}
}

// sizeUnits are the units of a size, powers of 1024: as in redis.conf, KB is 1024 bytes.
var sizeUnits = []struct {
	name  string
	shift uint
}{
	{"kib", 10}, {"mib", 20}, {"gib", 30},
	{"kb", 10}, {"mb", 20}, {"gb", 30},
	{"b", 0}, // last: the others end in b too
}

// size stores a quoted number of bytes from low to high.
func (v *value) size(into *int64, low, high int64) {
	const want = `want a quoted size with a unit, such as "64KB"; the units are B, KB, MB and GB, in powers of 1024`
	s, quoted := v.v.(string)
	if number, ok := v.v.(int64); ok {
		s = strconv.FormatInt(number, 10)
	}
	n, ok := parseSize(s)
	meant, known := parseSize(strings.TrimSpace(s) + "B") // a number of bytes, or 2G
	switch {
	case !ok && known && meant > 0:
		v.fail("want %q; the units are B, KB, MB and GB, in powers of 1024", sizeText(meant))
	case !quoted:
		v.fail(want)
	case !ok:
		v.fail(want)
	case n < low || n > high:
		v.fail("want %s to %s", sizeText(low), sizeText(high))
	default:
		*into = n
	}
}

// parseSize returns the number of bytes of a size such as "64KB", in any case, with or
// without a space before the unit. A size that does not fit is the largest int64.
func parseSize(s string) (int64, bool) {
	s = strings.ToLower(s)
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		digits = strings.TrimRight(digits, " ")
		if !isDigits(digits) {
			return 0, false
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > math.MaxInt64>>u.shift {
			return math.MaxInt64, true
		}
		return n << u.shift, true
	}
	return 0, false
}

// sizeText returns a size with the largest unit that divides it.
func sizeText(n int64) string {
	for _, u := range []struct {
		name  string
		shift uint
	}{{"GB", 30}, {"MB", 20}, {"KB", 10}} {
		if n != 0 && n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
