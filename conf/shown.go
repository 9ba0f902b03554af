package conf

import (
	"cmp"
	"slices"
	"strings"
)

// secretText stands for a password wherever a configuration is shown.
const secretText = `"…"`

// Text returns the text of the configuration for people: without comments, with the values of environment variables
// in place of their names, and with "…" in place of each password, also of one that is in a file. It has the lines
// of the file, and Parse takes it. It is "" for a Config that no text made. Any goroutine may call it.
func (c *Config) Text() string { return c.shown }

// edit is a part of a text and what stands in its place.
type edit struct {
	start, end int
	text       string
}

// shown returns what Text does.
func (r *report) shown() string {
	s := &scanner{text: r.text}
	s.tree()
	var edits []edit
	for _, n := range s.comments {
		edits = append(edits, edit{n.start, n.end, ""})
	}
	hidden := map[*node]bool{}
	for _, s := range r.secrets {
		hidden[s.node] = true
		e := edit{s.node.start, s.node.end, secretText}
		if s.inFile {
			e = edit{s.node.key, s.node.end, s.key + " = " + secretText}
		}
		edits = append(edits, r.withLines(e))
	}
	for n, text := range r.written {
		if !hidden[n] {
			edits = append(edits, r.withLines(edit{n.start, n.end, tomlString(literally(text))}))
		}
	}
	return r.edited(edits)
}

// withLines adds the ends of lines that an edit would remove.
func (r *report) withLines(e edit) edit {
	e.text += strings.Repeat("\n", strings.Count(r.text[e.start:e.end], "\n"))
	return e
}

// edited returns the text with edits made. Of two that overlap the first is made.
func (r *report) edited(edits []edit) string {
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	var b strings.Builder
	at := 0
	for _, e := range edits {
		if e.start < at {
			continue
		}
		b.WriteString(r.text[at:e.start])
		b.WriteString(e.text)
		at = e.end
	}
	return b.String() + r.text[at:]
}

// HasSecret reports whether the change is of a password.
func (c Change) HasSecret() bool { return c.Was == secretText || c.Now == secretText }
