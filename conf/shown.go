package conf

import (
	"cmp"
	"slices"
	"strings"
)

// secretText stands for a password wherever a configuration is shown.
const secretText = `"…"`

// Text returns the text of the configuration for people: without comments, and with "…" in place of
// each password. It has the lines of the file, and Parse takes it. It is "" for a Config that no
// text made. Any goroutine may call it.
func (c *Config) Text() string { return c.shown }

// shown returns what Text does.
func (r *report) shown() string {
	s := &scanner{text: r.text}
	s.tree()
	hidden := slices.Concat(s.comments, r.secrets)
	slices.SortFunc(hidden, func(a, b *node) int { return cmp.Compare(a.start, b.start) })
	var b strings.Builder
	at := 0
	for _, n := range hidden {
		if n.start < at {
			continue
		}
		b.WriteString(r.text[at:n.start])
		if at = n.end; slices.Contains(r.secrets, n) {
			b.WriteString(secretText + strings.Repeat("\n", strings.Count(r.text[n.start:n.end], "\n")))
		}
	}
	return b.String() + r.text[at:]
}

// HasSecret reports whether the change is of a password.
func (c Change) HasSecret() bool { return c.Was == secretText || c.Now == secretText }
