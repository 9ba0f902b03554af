package conf

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// reference matches what is replaced in a string: ${NAME} and ${NAME:-default}, by the value of an
// environment variable; and $${, by ${. All other text stays as it is, so that a password may
// contain a "$".
var reference = regexp.MustCompile(`\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\}`)

// replaceVariables puts the values of environment variables into the strings of a table, and
// remembers which these are. Names of keys stay as they are. A variable that is not set, and has no
// default, is a mistake. At is the table, as diagnostics name it, and the key in it that holds this one.
func (r *report) replaceVariables(n *node, table map[string]any, at place) {
	for name, v := range table {
		if value := n.table[name]; value != nil {
			table[name] = r.replaced(value, v, at.under(name))
			r.inheritUnset(n, value)
		}
	}
}

// under returns the place of a name in a table that is at p.
func (p place) under(name string) place {
	switch {
	case p == place{}:
		return place{table: name}
	case p == place{table: "pools"}:
		return place{table: poolTable(name)}
	case p.key != "":
		name = p.key + "." + name
	}
	return place{table: p.table, key: name}
}

// replaced returns a value with its variables replaced.
func (r *report) replaced(n *node, v any, at place) any {
	switch v := v.(type) {
	case string:
		return r.replacedText(n, v, at)
	case map[string]any:
		r.replaceVariables(n, v, at)
	case []map[string]any:
		for i := range min(len(v), len(n.elems)) {
			r.replaceVariables(n.elems[i], v[i], at)
			r.inheritUnset(n, n.elems[i])
		}
	case []any:
		for i := range min(len(v), len(n.elems)) {
			v[i] = r.replaced(n.elems[i], v[i], at)
			r.inheritUnset(n, n.elems[i])
		}
	}
	return v
}

func (r *report) replacedText(n *node, s string, at place) string {
	if !reference.MatchString(s) {
		return s
	}
	s = reference.ReplaceAllStringFunc(s, func(found string) string {
		m := reference.FindStringSubmatch(found)
		if m[1] == "" {
			return "${"
		}
		value, set := os.LookupEnv(m[1])
		switch {
		case m[2] != "" && value == "":
			return m[2][len(":-"):]
		case !set:
			r.mistake(n.start, at.table, strings.TrimSpace(fmt.Sprintf("%s ${%s}: the environment has no such variable; want it set, ${%s:-default} for a default, or $${%s} for the text itself", at.key, m[1], m[1], m[1])))
			r.noteUnset(n)
		case len(value) >= shortestHidden:
			r.variables = append(r.variables, variable{m[1], value})
		}
		return value
	})
	if r.written == nil {
		r.written = map[*node]string{}
	}
	r.written[n] = s
	return s
}

func (r *report) noteUnset(n *node) {
	if r.unset == nil {
		r.unset = map[*node]bool{}
	}
	r.unset[n] = true
}

// inheritUnset notes that a part of n is unset.
func (r *report) inheritUnset(n, part *node) {
	if r.unset[part] {
		r.noteUnset(n)
	}
}

// variable is one of the environment that the text uses.
type variable struct{ name, value string }

// shortestHidden is the length of the shortest value that messages do not show: shorter ones keep no secret.
const shortestHidden = 4

// withoutVariables returns a message with the names of variables in place of their values, which
// may be passwords, also where the text has them by mistake.
func (r *report) withoutVariables(message string) string {
	for _, v := range r.variables {
		name, quoted := "${"+v.name+"}", strconv.Quote(v.value)
		message = strings.ReplaceAll(message, v.value, name)
		message = strings.ReplaceAll(message, quoted[1:len(quoted)-1], name)
	}
	return message
}

// literally returns a string as a configuration has to have it, so that nothing in it is replaced.
func literally(s string) string {
	return strings.ReplaceAll(s, "${", "$${")
}
