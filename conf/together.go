package conf

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ringway/hashring"
)

const togetherExample = `together = ["@celery", "rq:*", "bull:(*):*", { name = "jobs", keys = ["job:*", "jobs"] }]`

// togetherSettings are the keys of an entry of together that is a table.
var togetherSettings = []setting[togetherEntry]{
	{"name", func(v *value, e *togetherEntry) {
		s, ok := v.text("jobs")
		switch {
		case !ok:
		case s == "":
			v.fail("want a name, by which the keys are placed")
		default:
			e.name = s
		}
	}},
	{"keys", func(v *value, e *togetherEntry) {
		v.list("job:*", func(at *node, s string) error {
			pattern, err := parsePattern(s)
			switch {
			case err != nil:
				return err
			case pattern.Captures():
				return errors.New("parentheses place keys by what they capture, and this entry by its name; want the pattern without them, or outside of the table")
			}
			return e.add(at, s)
		})
	}},
}

// togetherEntry is a table of together while it is being read.
type togetherEntry struct {
	name string
	keys []string
	add  func(at *node, pattern string) error
}

// setTogether reads patterns of keys, names of presets, and tables with a name and several patterns.
func setTogether(v *value, p *Pool) {
	elements, ok := elementsOf(v.v)
	if !ok || len(elements) != len(v.node.elems) {
		v.fail("want a list, such as %s", togetherExample)
		return
	}
	t := togetherReader{v: v, seen: map[string]*node{}, from: map[string]string{}}
	for i, e := range elements {
		at := v.node.elems[i]
		var err error
		switch e := e.(type) {
		case string:
			err = t.text(at, e)
		case map[string]any:
			t.table(at, e)
		default:
			err = fmt.Errorf("want a quoted pattern or a table, as in %s", togetherExample)
		}
		if err != nil {
			v.failAt(at, "entry "+v.rawOf(at)+": "+err.Error())
		}
	}
	p.Together = t.groups
}

// elementsOf returns the elements of an array of values or tables.
func elementsOf(v any) (elements []any, ok bool) {
	if tables, ok := v.([]map[string]any); ok {
		for _, t := range tables {
			elements = append(elements, t)
		}
		return elements, true
	}
	elements, ok = v.([]any)
	return elements, ok
}

// togetherReader collects the groups of together.
type togetherReader struct {
	v      *value
	groups []hashring.Together
	seen   map[string]*node  // where each pattern was
	from   map[string]string // the preset that a pattern came from
}

// text reads a pattern or the name of a preset.
func (t *togetherReader) text(at *node, s string) error {
	if name, ok := strings.CutPrefix(s, "@"); ok {
		return t.preset(at, name)
	}
	pattern, err := parsePattern(s)
	if err != nil {
		return err
	}
	if err := t.once(at, s, ""); err != nil {
		return err
	}
	group := hashring.Together{Patterns: []string{s}}
	if !pattern.Captures() {
		group.Name = s
	}
	t.groups = append(t.groups, group)
	return nil
}

// preset adds the patterns of a preset.
func (t *togetherReader) preset(at *node, name string) error {
	i := slices.IndexFunc(presets, func(p preset) bool { return p.name == name })
	if i < 0 {
		return errors.New(unknownPreset(name))
	}
	captures, others := hashring.Together{}, hashring.Together{Name: name}
	for _, s := range presets[i].patterns {
		if err := t.once(at, s, name); err != nil {
			return err
		}
		if pattern, err := parsePattern(s); err == nil && pattern.Captures() {
			captures.Patterns = append(captures.Patterns, s)
		} else {
			others.Patterns = append(others.Patterns, s)
		}
	}
	for _, g := range []hashring.Together{captures, others} {
		if g.Patterns != nil {
			t.groups = append(t.groups, g)
		}
	}
	return nil
}

// unknownPreset returns what is wrong with the name of a preset that there is not.
func unknownPreset(name string) string {
	var names []string
	for _, p := range presets {
		names = append(names, p.name)
	}
	message := "preset is unknown; "
	if near := Nearest(name, names); near != nil {
		message += "the nearest is @" + near[0] + "; "
	}
	return message + "there are @" + strings.Join(names, ", @") + `; other keys want their own patterns, such as "myqueue:*"`
}

// table reads a table with a name and patterns.
func (t *togetherReader) table(at *node, values map[string]any) {
	v := t.v
	e := togetherEntry{}
	e.add = func(at *node, pattern string) error {
		e.keys = append(e.keys, pattern)
		return t.once(at, pattern, "")
	}
	in := tableSource{report: v.report, partial: v.partial, node: at, values: values, table: v.table, prefix: "together."}
	guessed := read(in, togetherSettings, &e)
	for _, key := range []string{"name", "keys"} {
		if at.table[key] == nil && !v.partial && !slices.Contains(guessed, key) {
			v.failAt(at, fmt.Sprintf("entry %s: %s is missing, as in %s", v.rawOf(at), key, togetherExample))
		}
	}
	if len(e.keys) > 0 && e.name != "" {
		t.groups = append(t.groups, hashring.Together{Name: e.name, Patterns: e.keys})
	}
}

// once returns an error for a pattern that came before, in an entry of its own or in a preset.
func (t *togetherReader) once(at *node, pattern, preset string) error {
	first := t.seen[pattern]
	if first == nil {
		t.seen[pattern], t.from[pattern] = at, preset
		return nil
	}
	where := fmt.Sprintf("in line %d", t.v.report.line(first.start))
	if from := t.from[pattern]; from != "" {
		where = "of @" + from + " " + where
	}
	return fmt.Errorf("the pattern %q is the same as one %s; want each once", pattern, where)
}

// parsePattern is hashring.ParsePattern, with an error for a preset among patterns.
func parsePattern(s string) (*hashring.Pattern, error) {
	if strings.HasPrefix(s, "@") {
		return nil, fmt.Errorf(`a preset stands by itself, as in together = [%q]; its name, without the @, in a table adds keys to it`, s)
	}
	return hashring.ParsePattern(s)
}

// TogetherNames returns what the pool keeps together: the names of presets and groups, and
// patterns that stand by themselves. Those with control characters are quoted. The result is
// the caller's.
func (p *Pool) TogetherNames() (names []string) {
	for _, g := range p.Together {
		of := []string{g.Name}
		if g.Name == "" {
			of = g.Patterns
		}
		for _, name := range of {
			if hasControl(name) {
				name = strconv.Quote(name)
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
