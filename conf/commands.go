package conf

import (
	"slices"
	"strings"

	"ringway/command"
)

// commands stores a list of names of commands, in lower case and each once; of ACL categories, such as "@admin"; and "*".
// With servable it reports commands that Ringway never serves.
func (v *value) commands(into *[]string, servable bool) {
	const want = `a list of quoted names, such as ["keys", "config|get", "@admin"]`
	list, ok := v.v.([]any)
	if !ok || len(list) != len(v.node.elems) {
		v.fail("want %s", want)
		return
	}
	for i, e := range list {
		at := v.node.elems[i]
		written := "entry " + v.rawOf(at)
		name, ok := e.(string)
		if !ok {
			v.failAt(at, written+`: want the name of a command in quotes, such as "config|get"`)
			continue
		}
		name = strings.ToLower(name)
		if category, isCategory := strings.CutPrefix(name, "@"); isCategory || name == "*" {
			known := append([]string{"all"}, command.Categories()...)
			switch {
			case isCategory && !slices.Contains(known, category):
				v.failAt(at, written+": category "+unknown(category, known))
			case !slices.Contains(*into, name):
				*into = append(*into, name)
			}
			continue
		}
		c := command.ByName(name)
		switch {
		case c == nil && mayBeServersOwn(name):
			v.report.warn(at.start, v.table, v.name+" "+written+": Ringway does not know this command; it is meant for servers that have it")
			if !slices.Contains(*into, name) {
				*into = append(*into, name)
			}
		case c == nil:
			v.failAt(at, written+" "+unknownCommand(name))
		case servable && !anyServable(c):
			v.failAt(at, written+" can't be allowed"+reasonSuffix(c))
		case !slices.Contains(*into, name):
			*into = append(*into, name)
		}
	}
}

func reasonSuffix(c *command.Command) string {
	if c.Reason == "" {
		return ""
	}
	return ": " + c.Reason
}

// mayBeServersOwn reports whether a name may be that of a command that only the servers
// know, of a module or newer than Ringway, rather than a misspelt one.
func mayBeServersOwn(name string) bool {
	notInName := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}
	return slices.Contains(unlistedCommands, name) || name != "" && !strings.ContainsFunc(name, notInName) && Nearest(name, commandNames()) == nil
}

// unlistedCommands are commands of Valkey that the table does not have and that look
// like misspelt ones.
var unlistedCommands = []string{"commandlog"}

// unknownCommand returns a message that there is no command of that name, with the
// nearest ones. There are too many to list all.
func unknownCommand(name string) string {
	if Nearest(name, commandNames()) == nil {
		return "is unknown; want the name of a command"
	}
	return unknown(name, commandNames())
}

func commandNames() (names []string) {
	for id := range command.Count() {
		names = append(names, command.ByID(id).Name)
	}
	return names
}

// anyServable reports whether a command, or one of its subcommands, may be served.
func anyServable(c *command.Command) bool {
	return c.Servable() || slices.ContainsFunc(c.Subcommands, (*command.Command).Servable)
}

// scriptsEvadeDeny reports whether scripts may run commands that are denied: some
// commands are denied, and not all script commands are.
func scriptsEvadeDeny(deny []string) bool {
	scripts, denied, others := 0, 0, false
	for id := range command.Count() {
		c := command.ByID(id)
		named := c.IsNamed(deny)
		switch {
		case c.IsScript():
			if scripts++; named {
				denied++
			}
		case named:
			others = true
		}
	}
	for _, name := range deny { // a command that only the servers know
		others = others || name != "*" && name[0] != '@' && command.ByName(name) == nil
	}
	return others && denied < scripts
}
