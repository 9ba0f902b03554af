package acl

import (
	"fmt"
	"strings"
)

// LineError is a line of an ACL file that is wrong.
type LineError struct {
	Line int // from 1
	Err  error
}

// Error returns the line's number and what is wrong, without passwords.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Err) }

// Unwrap returns what is wrong.
func (e *LineError) Unwrap() error { return e.Err }

// Parse reads the text of an ACL file of Redis: lines that begin with "user", a name and rules. Empty lines are
// permitted, and, as they are not in Redis, comments that begin with #. The error is a LineError.
func Parse(text string) (users []*User, err error) {
	names := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' })
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		u, err := parseLine(words, names)
		if err != nil {
			return nil, &LineError{i + 1, err}
		}
		names[u.Name] = true
		users = append(users, u)
	}
	return users, nil
}

func parseLine(words []string, names map[string]bool) (*User, error) {
	switch {
	case words[0] != "user" || len(words) < 2:
		return nil, fmt.Errorf("want the word user, a name and rules")
	case names[words[1]]:
		return nil, fmt.Errorf("user %q is defined twice", words[1])
	}
	u, err := NewUser(words[1], words[2:])
	if err != nil {
		return nil, fmt.Errorf("user %q: %w", words[1], err)
	}
	return u, nil
}
