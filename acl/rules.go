package acl

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"

	"ringway/command"
)

// RuleError is a rule that can't be applied. Its text quotes no password.
type RuleError struct {
	Rule string // as it was given
	Err  error  // why, in Redis's words
}

// Error returns the rule, unless it is a password, and why it is wrong.
func (e *RuleError) Error() string {
	rule := e.Rule
	if rule != "" && strings.ContainsRune("><#!", rune(rule[0])) {
		rule = rule[:1] + "…"
	}
	return "rule '" + rule + "': " + e.Err.Error()
}

// Unwrap returns why the rule is wrong.
func (e *RuleError) Unwrap() error { return e.Err }

// What is wrong with a rule, in Redis's words but for the capital.
var (
	errName        = errors.New("a user's name can't be empty, or contain spaces or null characters")
	errSyntax      = errors.New("syntax error")
	errUnknown     = errors.New("unknown command or category name in ACL")
	errAfterAll    = errors.New("adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns")
	errAfterAllCh  = errors.New("adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels")
	errNoPassword  = errors.New("the password you are trying to remove from the user does not exist")
	errHash        = errors.New("the password hash must be exactly 64 characters and contain only lowercase hexadecimal characters")
	errFirstArg    = errors.New("allowing first-arg of a subcommand is not supported")
	errParenthesis = errors.New("unmatched parenthesis in the selector")
)

// mergeSelectors joins the rules from one that begins with "(" to the next one that ends with ")".
func mergeSelectors(rules []string) (merged []string, err error) {
	open := ""
	for _, rule := range rules {
		switch {
		case open != "":
			open += " " + rule
			if strings.HasSuffix(rule, ")") {
				merged, open = append(merged, open), ""
			}
		case strings.HasPrefix(rule, "(") && !strings.HasSuffix(rule, ")"):
			open = rule
		default:
			merged = append(merged, rule)
		}
	}
	if open != "" {
		return nil, &RuleError{open, errParenthesis}
	}
	return merged, nil
}

// apply applies one rule.
func (u *User) apply(rule string) error {
	switch word := strings.ToLower(rule); {
	case rule == "":
	case word == "on":
		u.On = true
	case word == "off":
		u.On = false
	case word == "skip-sanitize-payload", word == "sanitize-payload":
		u.sanitize = word
	case word == "nopass":
		u.NoPass, u.passwords = true, nil
	case word == "resetpass":
		u.NoPass, u.passwords = false, nil
	case word == "clearselectors":
		u.selectors = u.selectors[:1]
	case word == "reset":
		*u = User{Name: u.Name, ServerUser: u.ServerUser, ServerPassword: u.ServerPassword, sanitize: "sanitize-payload", selectors: []selector{newSelector()}}
	case strings.ContainsRune("><#!", rune(rule[0])):
		return u.applyPassword(rule[0], rule[1:])
	case rule[0] == '(' && len(rule) > 1 && strings.HasSuffix(rule, ")"):
		s := newSelector()
		for _, r := range strings.Fields(rule[1 : len(rule)-1]) {
			if err := s.apply(r); err != nil {
				return err
			}
		}
		u.selectors = append(u.selectors, s)
	default:
		return u.selectors[0].apply(rule)
	}
	return nil
}

// applyPassword adds a password, or removes one.
func (u *User) applyPassword(sign byte, text string) error {
	sum := sha256.Sum256([]byte(text))
	if sign == '#' || sign == '!' {
		var err error
		if sum, err = parseHash(text); err != nil {
			return err
		}
	}
	if sign == '>' || sign == '#' {
		u.addHash(sum)
		return nil
	}
	i := slices.Index(u.passwords, sum)
	if i < 0 {
		return errNoPassword
	}
	u.passwords = slices.Delete(u.passwords, i, i+1)
	return nil
}

// apply applies one rule about commands, keys or channels.
func (s *selector) apply(rule string) error {
	switch word := strings.ToLower(rule); {
	case word == "allkeys", word == "~*":
		s.allKeys, s.keys = true, nil
	case word == "resetkeys":
		s.allKeys, s.keys = false, nil
	case word == "allchannels", word == "&*":
		s.allChannels, s.channels = true, nil
	case word == "resetchannels":
		s.allChannels, s.channels = false, nil
	case word == "allcommands", word == "+@all":
		s.setAll(true)
	case word == "nocommands", word == "-@all":
		s.setAll(false)
	case rule == "":
		return errSyntax
	case rule[0] == '~':
		return s.addKeys(rule[1:], command.AccessRead|command.AccessWrite)
	case rule[0] == '%':
		return s.applyKeys(rule[1:])
	case rule[0] == '&':
		return s.addChannels(rule[1:])
	case strings.HasPrefix(rule, "+@"), strings.HasPrefix(rule, "-@"):
		return s.applyCategory(word[2:], rule[0] == '+')
	case rule[0] == '+', rule[0] == '-':
		return s.applyCommand(word[1:], rule[0] == '+')
	default:
		return errSyntax
	}
	return nil
}

// applyKeys applies what follows % in a rule such as %R~app:*.
func (s *selector) applyKeys(rule string) error {
	var access command.Access
	for i := range len(rule) {
		switch c := rule[i] | 0x20; {
		case c == 'r' && access&command.AccessRead == 0:
			access |= command.AccessRead
		case c == 'w' && access&command.AccessWrite == 0:
			access |= command.AccessWrite
		case rule[i] == '~' && access != 0:
			return s.addKeys(rule[i+1:], access)
		default:
			return errSyntax
		}
	}
	return errSyntax
}

func (s *selector) addKeys(pattern string, access command.Access) error {
	switch i := slices.IndexFunc(s.keys, func(k keyPattern) bool { return k.pattern == pattern }); {
	case s.allKeys:
		return errAfterAll
	case hasSpace(pattern):
		return errSyntax
	case i >= 0:
		s.keys[i].access |= access
	default:
		s.keys = append(s.keys, keyPattern{pattern, access})
	}
	return nil
}

func (s *selector) addChannels(pattern string) error {
	switch {
	case s.allChannels:
		return errAfterAllCh
	case hasSpace(pattern):
		return errSyntax
	case !slices.Contains(s.channels, pattern):
		s.channels = append(s.channels, pattern)
	}
	return nil
}

func (s *selector) applyCategory(name string, allow bool) error {
	if !slices.Contains(command.Categories(), name) {
		return errUnknown
	}
	for id := range command.Count() {
		if c := command.ByID(id); c.InCategory(name) {
			s.set(c, allow)
		}
	}
	s.note("@"+name, allow)
	return nil
}

// applyCommand applies a rule about a command, a subcommand, or a command with a certain first argument.
func (s *selector) applyCommand(name string, allow bool) error {
	if c := command.LookupName(name); c != nil {
		s.set(c, allow)
		s.note(name, allow)
		return nil
	}
	at := strings.LastIndexByte(name, '|')
	switch {
	case at < 0 && strings.Contains(name, ".") && !hasSpace(name): // of a module that only the servers know
		s.setOther(name, allow)
		s.note(name, allow)
		return nil
	case at < 0 || !allow:
		return errUnknown
	}
	c, first := command.LookupName(name[:at]), name[at+1:]
	switch {
	case c == nil:
		return errUnknown
	case c.Container() != nil:
		return errFirstArg
	case first == "":
		return errSyntax
	case len(c.Subcommands) > 0:
		return errUnknown
	}
	s.addFirstArg(c, first)
	s.note(name, true)
	return nil
}

// hasSpace reports whether a text has white space or a null character, which names and patterns can't
// have.
func hasSpace(s string) bool { return strings.ContainsAny(s, " \t\n\v\f\r\x00") }
