package acl

import (
	"slices"
	"strings"

	"ringway/command"
)

// selector is a set of rights: all commands, keys and channels of a request must be permitted by
// the same selector.
type selector struct {
	commands    []uint64         // bits by command.Command.ID
	future      bool             // commands that are not in the table are permitted: the rules began with +@all
	others      map[string]bool  // commands that are not in the table, for which rules say something else
	firstArgs   map[int][]string // first arguments, by command ID, with which a command is permitted that is not so without
	allKeys     bool
	keys        []keyPattern
	allChannels bool
	channels    []string // patterns
	rules       []string // those about commands that hold, in order, without +@all or -@all at the beginning
}

// keyPattern is a pattern of keys, and what may be done with them.
type keyPattern struct {
	pattern string
	access  command.Access
}

func newSelector() selector {
	return selector{commands: make([]uint64, (command.Count()+63)/64)}
}

// has reports whether the selector permits a command with any first argument.
func (s *selector) has(c *command.Command) bool {
	if c.ID < 0 {
		if allowed, said := s.others[c.Name]; said {
			return allowed
		}
		return s.future
	}
	return s.commands[c.ID/64]&(1<<(c.ID%64)) != 0
}

// setAll permits all commands, or none.
func (s *selector) setAll(allow bool) {
	for i := range s.commands {
		if s.commands[i] = 0; allow {
			s.commands[i] = ^uint64(0)
		}
	}
	s.future, s.others, s.firstArgs, s.rules = allow, nil, nil, nil
}

// set permits a command, with its subcommands, or takes that back.
func (s *selector) set(c *command.Command, allow bool) {
	s.setBit(c.ID, allow)
	for _, sub := range c.Subcommands {
		s.setBit(sub.ID, allow)
	}
	delete(s.firstArgs, c.ID)
}

func (s *selector) setBit(id int, allow bool) {
	if allow {
		s.commands[id/64] |= 1 << (id % 64)
	} else {
		s.commands[id/64] &^= 1 << (id % 64)
	}
}

// setOther is set for a command that is not in the table.
func (s *selector) setOther(name string, allow bool) {
	if s.others == nil {
		s.others = map[string]bool{}
	}
	s.others[name] = allow
}

func (s *selector) addFirstArg(c *command.Command, first string) {
	if s.firstArgs == nil {
		s.firstArgs = map[int][]string{}
	}
	if !slices.Contains(s.firstArgs[c.ID], first) {
		s.firstArgs[c.ID] = append(s.firstArgs[c.ID], first)
	}
}

// note remembers a rule about a command or a category, without its sign. It replaces earlier rules about
// the same, and about its subcommands.
func (s *selector) note(name string, allow bool) {
	s.rules = slices.DeleteFunc(s.rules, func(rule string) bool {
		return rule[1:] == name || strings.HasPrefix(rule[1:], name+"|")
	})
	sign := "-"
	if allow {
		sign = "+"
	}
	s.rules = append(s.rules, sign+name)
}
