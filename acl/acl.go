// Package acl holds users and their rights in the words of Redis's ACL rules, and decides whether a
// user may run a request. Its verdicts are those of redis-server 7.0, for every command of package
// command.
//
// A User is made of rules, or read from a file such as redis-server's users.acl:
//
//	u, err := acl.NewUser("alice", []string{"on", ">secret", "+@read", "~app1:*"})
//	users, err := acl.Parse(text)
//
// Users never change once they are in use, so any goroutine may read them. A check does no I/O, and
// allocates nothing if the scratch slice is large enough for the keys of a request.
package acl

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"
)

// Default is the name of the user that clients are before they authenticate.
const Default = "default"

// User is one user. The zero value, with a name, may not log in and may do nothing.
type User struct {
	Name   string
	On     bool // clients may log in as this user
	NoPass bool // with any password

	// ServerUser and ServerPassword are the ACL user, and its password, that servers see instead of the
	// pool's own; "" for the pool's own.
	ServerUser, ServerPassword string

	passwords [][sha256.Size]byte
	sanitize  string     // the rule about what RESTORE gets, if there was one; it means nothing to Ringway
	selectors []selector // the first is that of the user's own rules; none is as good as an empty one
}

// NewUser returns a user whose rules are applied in order, beginning with none. A selector in
// parentheses may be spread over several rules. The error is a RuleError, or tells that the name is
// not one that Redis permits.
func NewUser(name string, rules []string) (*User, error) {
	if name == "" || hasSpace(name) {
		return nil, errName
	}
	u := &User{Name: name, selectors: []selector{newSelector()}}
	merged, err := mergeSelectors(rules)
	if err != nil {
		return nil, err
	}
	for _, rule := range merged {
		if err := u.apply(rule); err != nil {
			return nil, &RuleError{rule, err}
		}
	}
	return u, nil
}

// Unlimited returns a user who may do everything, as Redis's default user.
func Unlimited(name string) *User {
	u, err := NewUser(name, []string{"on", "allcommands", "allkeys", "allchannels"})
	if err != nil {
		panic(err)
	}
	return u
}

// AddPassword adds a password to those that the user may log in with, and ends NoPass. It must be called before
// the user is in use.
func (u *User) AddPassword(password string) { u.addHash(sha256.Sum256([]byte(password))) }

// AddHash is AddPassword for the SHA-256 of a password, in lower-case hexadecimal.
func (u *User) AddHash(text string) error {
	sum, err := parseHash(text)
	if err == nil {
		u.addHash(sum)
	}
	return err
}

func (u *User) addHash(sum [sha256.Size]byte) {
	if !slices.Contains(u.passwords, sum) {
		u.passwords = append(u.passwords, sum)
	}
	u.NoPass = false
}

// HasPassword reports whether the user has a password.
func (u *User) HasPassword() bool { return len(u.passwords) > 0 }

// Accepts reports whether a client that gives a password may be this user.
func (u *User) Accepts(password []byte) bool {
	if !u.On {
		return false
	}
	if u.NoPass {
		return true
	}
	sum, found := sha256.Sum256(password), 0
	for i := range u.passwords {
		found |= subtle.ConstantTimeCompare(sum[:], u.passwords[i][:])
	}
	return found == 1
}

// AcceptsAll reports whether every client is this user without giving a password.
func (u *User) AcceptsAll() bool { return u.On && u.NoPass }

// parseHash reads a password's SHA-256.
func parseHash(text string) (sum [sha256.Size]byte, err error) {
	if len(text) != hex.EncodedLen(len(sum)) || strings.ToLower(text) != text {
		return sum, errHash
	}
	if _, err := hex.Decode(sum[:], []byte(text)); err != nil {
		return sum, errHash
	}
	return sum, nil
}

// Users are the users of a pool, in the order of their names' bytes. A nil *Users has none.
type Users struct{ all []*User }

// NewUsers returns a set of users, whose names must differ.
func NewUsers(all []*User) *Users {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b *User) int { return cmp.Compare(a.Name, b.Name) })
	return &Users{all}
}

// All returns the users in the order of their names. The caller must not change the slice.
func (us *Users) All() []*User {
	if us == nil {
		return nil
	}
	return us.all
}

// Named returns the user with a name; nil if there is none.
func (us *Users) Named(name string) *User {
	if us == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(us.all, name, func(u *User, name string) int { return cmp.Compare(u.Name, name) })
	if !found {
		return nil
	}
	return us.all[i]
}
