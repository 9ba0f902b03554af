package acl

import (
	"encoding/hex"
	"slices"
	"strings"

	"ringway/command"
)

// Flags returns the user's flags as ACL GETUSER has them.
func (u *User) Flags() []string {
	flags := []string{"off"}
	if u.On {
		flags[0] = "on"
	}
	if u.NoPass {
		flags = append(flags, "nopass")
	}
	if u.sanitize != "" {
		flags = append(flags, u.sanitize)
	}
	return flags
}

// Passwords returns the SHA-256 of each password in hexadecimal.
func (u *User) Passwords() (hashes []string) {
	for _, sum := range u.passwords {
		hashes = append(hashes, hex.EncodeToString(sum[:]))
	}
	return hashes
}

// Description is what rules permit, in the form of rules.
type Description struct{ Commands, Keys, Channels string }

// Selectors describes the user's own rules, and then each selector.
func (u *User) Selectors() (all []Description) {
	for i := range u.selectors {
		s := &u.selectors[i]
		all = append(all, Description{s.commandRules(), strings.Join(s.keyRules(), " "), strings.Join(s.channelRules(), " ")})
	}
	return all
}

// String returns the rules that make the same user, in the form of ACL LIST. It has the hashes of the passwords,
// and nothing about servers.
func (u *User) String() string { return u.text(true) }

// Shown is String without the hashes of passwords.
func (u *User) Shown() string { return u.text(false) }

func (u *User) text(withPasswords bool) string {
	words := append([]string{"user", u.Name}, u.Flags()...)
	if withPasswords {
		for _, hash := range u.Passwords() {
			words = append(words, "#"+hash)
		}
	}
	for i := range u.selectors {
		s := &u.selectors[i]
		rules := s.keyRules()
		if !s.allChannels {
			rules = append(rules, "resetchannels")
		}
		text := strings.Join(append(append(rules, s.channelRules()...), s.commandRules()), " ")
		if i > 0 {
			text = "(" + text + ")"
		}
		words = append(words, text)
	}
	return strings.Join(words, " ")
}

// commandRules returns the rules about commands, in the order in which they were given.
func (s *selector) commandRules() string {
	first := "-@all"
	if s.future {
		first = "+@all"
	}
	return strings.Join(slices.Concat([]string{first}, s.rules), " ")
}

func (s *selector) keyRules() (rules []string) {
	if s.allKeys {
		return []string{"~*"}
	}
	for _, p := range s.keys {
		switch p.access {
		case command.AccessRead:
			rules = append(rules, "%R~"+p.pattern)
		case command.AccessWrite:
			rules = append(rules, "%W~"+p.pattern)
		default:
			rules = append(rules, "~"+p.pattern)
		}
	}
	return rules
}

func (s *selector) channelRules() (rules []string) {
	if s.allChannels {
		return []string{"&*"}
	}
	for _, pattern := range s.channels {
		rules = append(rules, "&"+pattern)
	}
	return rules
}
