package conf

import (
	"fmt"
	"slices"
	"strings"

	"ringway/command"
)

// commands stores a list of names of commands, in lower case and each once. With
// servable, none may be of a command that is never served.
func (v *value) commands(into *[]string, servable bool) {
	const want = `a list of quoted names, such as ["keys", "config|get"]`
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
		c := command.ByName(name)
		switch {
		case c == nil:
			v.failAt(at, written+" "+unknownCommand(name))
		case servable && !anyServable(c):
			v.failAt(at, written+" can't be allowed"+because(c))
		case !slices.Contains(*into, name):
			*into = append(*into, name)
		}
	}
}

func because(c *command.Command) string {
	if c.Reason == "" {
		return ""
	}
	return ": " + c.Reason
}

// unknownCommand says that there is no command of that name, and which one was
// probably meant; there are too many to list them all.
func unknownCommand(name string) string {
	var names []string
	for id := range command.Count() {
		names = append(names, command.ByID(id).Name)
	}
	if n := nearest(name, names); n != "" {
		return fmt.Sprintf("is unknown; the nearest is %s", n)
	}
	return "is unknown; want the name of a command"
}

// anyServable tells whether a command, or one of its subcommands, may be served.
func anyServable(c *command.Command) bool {
	return c.Servable() || slices.ContainsFunc(c.Subcommands, (*command.Command).Servable)
}
