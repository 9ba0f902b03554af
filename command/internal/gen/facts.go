package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// facts is what commands.tsv says; its header explains the columns.
type facts struct {
	why      map[string]string // route reasons by their word
	commands []command         // a container right before its subcommands
}

type command struct {
	name              string
	arity             int
	flags, acl, tips  []string
	first, last, step int
	specs             []spec
	since, group      string
	route, join, why  string
	find              string
}

// guarded reports whether c is served only where allow_commands names it.
func (c *command) guarded() bool {
	return c.why != "" && c.route != "later" && c.route != "refused" && c.route != "group"
}

type spec struct {
	flags          []string
	begin, keyword string
	index          int
	find           string
	a, b, c        int
}

const columns = 15

func parseFacts(text string) (*facts, error) {
	f := &facts{why: map[string]string{}}
	for n, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "#why\t"); ok {
			word, reason, _ := strings.Cut(rest, "\t")
			f.why[word] = reason
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		c, err := parseCommand(strings.Split(line, "\t"))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		if c.why != "" && f.why[c.why] == "" {
			return nil, fmt.Errorf("line %d: no reason %q", n+1, c.why)
		}
		f.commands = append(f.commands, c)
	}
	return f, f.checkOrder()
}

// checkOrder makes sure that the table can be read in one pass: sorted, every
// subcommand behind its container.
func (f *facts) checkOrder() error {
	before := ""
	for i := range f.commands {
		name := f.commands[i].name
		// "|" would sort behind letters; as the lowest byte it keeps families together.
		if strings.ReplaceAll(before, "|", "\x00") >= strings.ReplaceAll(name, "|", "\x00") {
			return fmt.Errorf("%q does not belong behind %q", name, before)
		}
		container, _, sub := strings.Cut(name, "|")
		if sub && before != container && !strings.HasPrefix(before, container+"|") {
			return fmt.Errorf("%q has no container before it", name)
		}
		before = name
	}
	return nil
}

func parseCommand(col []string) (command, error) {
	if len(col) != columns {
		return command{}, fmt.Errorf("%d columns, not %d", len(col), columns)
	}
	for i := range col {
		if col[i] == "-" {
			col[i] = ""
		}
	}
	c := command{
		name: col[0], flags: list(col[2]), acl: list(col[3]), tips: list(col[4]),
		since: col[9], group: col[10], route: col[11], join: col[12], why: col[13], find: col[14],
	}
	numbers := []*int{&c.arity, &c.first, &c.last, &c.step}
	for i, s := range []string{col[1], col[5], col[6], col[7]} {
		n, err := strconv.Atoi(s)
		if err != nil {
			return c, fmt.Errorf("%s: number %q", c.name, s)
		}
		*numbers[i] = n
	}
	if c.arity == 0 {
		return c, fmt.Errorf("%s: arity 0", c.name)
	}
	if col[8] != "" {
		for _, text := range strings.Split(col[8], "; ") {
			s, err := parseSpec(text)
			if err != nil {
				return c, fmt.Errorf("%s: %w", c.name, err)
			}
			c.specs = append(c.specs, s)
		}
	}
	return c, nil
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func parseSpec(text string) (spec, error) {
	flags, rest, _ := strings.Cut(text, " @ ")
	s := spec{flags: strings.Fields(flags)}
	word := strings.Fields(rest)
	number := func() int {
		if len(word) == 0 {
			return -999
		}
		n, err := strconv.Atoi(word[0])
		if err != nil {
			return -999
		}
		word = word[1:]
		return n
	}
	next := func() string {
		if len(word) == 0 {
			return ""
		}
		w := word[0]
		word = word[1:]
		return w
	}
	switch s.begin = next(); s.begin {
	case "index":
		s.index = number()
	case "keyword":
		s.keyword, s.index = next(), number()
	}
	s.find = next()
	if s.find == "range" || s.find == "keynum" {
		s.a, s.b, s.c = number(), number(), number()
	}
	known := slices.Contains([]string{"index", "keyword", "unknown"}, s.begin) && slices.Contains([]string{"range", "keynum", "unknown"}, s.find)
	if !known || len(word) > 0 || slices.Contains([]int{s.index, s.a, s.b, s.c}, -999) {
		return s, fmt.Errorf("key specification %q", text)
	}
	return s, nil
}
