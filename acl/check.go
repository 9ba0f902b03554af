package acl

import (
	"math"
	"slices"
	"strings"

	"ringway/command"
	"ringway/glob"
)

// Denial says why a user may not run a request. A later one is more telling than an earlier one.
type Denial uint8

const (
	Allowed       Denial = iota // the user may
	DeniedCommand               // not this command
	DeniedKey                   // not with this key, or not to read or write it
	DeniedChannel               // not with this channel
	Unclear                     // it is not certain which keys the request has: Command.Keys returns an error, which is the reply
	DeniedAuth                  // wrong credentials, in ACL LOG
)

// Rights says how much of a command a user may run.
type Rights uint8

const (
	Never   Rights = iota // no request
	Depends               // it depends on the arguments: Check decides
	Always                // every request
)

// Rights returns what Check will say about requests of a command.
func (u *User) Rights(c *command.Command) Rights {
	if c.Flags&command.FlagNoAuth != 0 {
		return Always
	}
	r := Never
	for i := range u.selectors {
		s := &u.selectors[i]
		switch {
		case s.has(c) && (s.allKeys || !c.HasKeys()) && (s.allChannels || !hasChannels(c)):
			return Always
		case s.has(c) || len(s.firstArgs[c.ID]) > 0:
			r = Depends
		}
	}
	return r
}

// IsUnlimited reports whether the user may run every request.
func (u *User) IsUnlimited() bool {
	return slices.ContainsFunc(u.selectors, func(s selector) bool {
		return s.allKeys && s.allChannels && s.future && !slices.ContainsFunc(s.rules, func(rule string) bool { return rule[0] == '-' })
	})
}

// HasAllKeys reports whether the user's rules outside of parentheses confine it to no keys, whichever commands they
// permit.
func (u *User) HasAllKeys() bool { return u.selectors[0].allKeys }

// hasChannels reports whether requests of a command name channels.
func hasChannels(c *command.Command) bool {
	first, _, _ := c.Channels(nil)
	return first > 0
}

// Check decides whether the user may run a request, which must have passed Lookup and ArityOK. For a key or
// channel that is denied, at is its position. scratch is for the positions of keys, and is returned as
// it has become. The order of checks and the choice among several reasons are Redis's.
func (u *User) Check(c *command.Command, args [][]byte, scratch []int) (d Denial, at int, _ []int) {
	if c.Flags&command.FlagNoAuth != 0 {
		return Allowed, 0, scratch
	}
	d = DeniedCommand
	f := finding{c: c, args: args, keys: scratch[:0]}
	for i := range u.selectors {
		why, where := u.selectors[i].check(&f)
		if why == Allowed {
			return Allowed, 0, f.keys
		}
		if why > d || why == d && where > at {
			d, at = why, where
		}
	}
	return d, at, f.keys
}

// finding is a request with the positions of its keys, once they have been looked for.
type finding struct {
	c     *command.Command
	args  [][]byte
	keys  []int
	found bool
	err   error
}

func (f *finding) find() ([]int, error) {
	if !f.found {
		f.keys, f.err = f.c.Keys(f.args, f.keys)
		f.found = true
	}
	return f.keys, f.err
}

func (s *selector) check(f *finding) (d Denial, at int) {
	if !s.has(f.c) && !s.hasFirstArg(f.c, f.args) {
		return DeniedCommand, 0
	}
	if !s.allKeys && f.c.HasKeys() {
		keys, err := f.find()
		if err != nil {
			return Unclear, 0
		}
		for _, at := range keys {
			if !s.permitsKey(f.args[at], f.c.KeyAccess(f.args, at)) {
				return DeniedKey, at
			}
		}
	}
	if !s.allChannels {
		first, end, pattern := f.c.Channels(f.args)
		for at := first; at < end; at++ {
			if !s.permitsChannel(f.args[at], pattern) {
				return DeniedChannel, at
			}
		}
	}
	return Allowed, 0
}

// hasFirstArg reports whether the first argument of a request makes up for a command that is not permitted.
func (s *selector) hasFirstArg(c *command.Command, args [][]byte) bool {
	if c.ID < 0 || len(args) < 2 {
		return false
	}
	for _, first := range s.firstArgs[c.ID] {
		if strings.EqualFold(first, string(args[1])) {
			return true
		}
	}
	return false
}

func (s *selector) permitsKey(key []byte, access command.Access) bool {
	for i := range s.keys {
		if p := &s.keys[i]; p.access&access == access && matches(p.pattern, key) {
			return true
		}
	}
	return false
}

// permitsChannel reports whether a channel, or a pattern of channels, may be used. A pattern must be the
// same as one of the rules.
func (s *selector) permitsChannel(name []byte, isPattern bool) bool {
	for _, pattern := range s.channels {
		if isPattern && pattern == string(name) || !isPattern && matches(pattern, name) {
			return true
		}
	}
	return false
}

// matches matches without a bound on the steps: the patterns are those of who runs the proxy.
func matches(pattern string, name []byte) bool {
	return glob.Matches(&glob.Matcher{Work: math.MaxInt}, pattern, name)
}

// PermitsSoleKey reports whether the user may run a request of a command with one key in a fixed place
// (Command.SoleKey). It is Check for requests of which nearly all are permitted.
func (u *User) PermitsSoleKey(c *command.Command, args [][]byte) bool {
	key, access := args[c.SoleKey], c.KeyAccess(args, c.SoleKey)
	for i := range u.selectors {
		if s := &u.selectors[i]; s.has(c) && (s.allKeys || s.permitsKey(key, access)) {
			return true
		}
	}
	return false
}

// MayReadAllKeys reports whether the user may run a request, and read every key, as patterns of SORT need.
func (u *User) MayReadAllKeys(c *command.Command, args [][]byte, scratch []int) (bool, []int) {
	f := finding{c: c, args: args, keys: scratch[:0]}
	for i := range u.selectors {
		s := &u.selectors[i]
		readsAll := s.allKeys || slices.ContainsFunc(s.keys, func(p keyPattern) bool {
			return p.pattern == "*" && p.access&command.AccessRead != 0
		})
		if why, _ := s.check(&f); why == Allowed && readsAll {
			return true, f.keys
		}
	}
	return false, f.keys
}

// PermitsSubscription reports whether the user may listen to a channel, or to a pattern of channels, as Redis
// checks it for clients that listen already when rights change.
func (u *User) PermitsSubscription(name string, isPattern bool) bool {
	return slices.ContainsFunc(u.selectors, func(s selector) bool { return s.allChannels || s.permitsChannel([]byte(name), isPattern) })
}

// Reply returns the error of redis-server 7.0 for a request that is denied, without "-" and line end; "" for
// Allowed and Unclear.
func (d Denial) Reply(c *command.Command) string {
	switch d {
	case DeniedCommand:
		return "NOPERM this user has no permissions to run the '" + c.Name + "' command"
	case DeniedKey:
		return "NOPERM this user has no permissions to access one of the keys used as arguments"
	case DeniedChannel:
		return "NOPERM this user has no permissions to access one of the channels used as arguments"
	}
	return ""
}

// DryRun returns what ACL DRYRUN says of a request that is denied; "" if it is allowed.
func (d Denial) DryRun(c *command.Command, args [][]byte, at int) string {
	switch d {
	case DeniedCommand:
		return "This user has no permissions to run the '" + c.Name + "' command"
	case DeniedKey:
		return "This user has no permissions to access the '" + string(args[at]) + "' key"
	case DeniedChannel:
		return "This user has no permissions to access the '" + string(args[at]) + "' channel"
	}
	return ""
}

// String returns the word of ACL LOG.
func (d Denial) String() string {
	switch d {
	case DeniedCommand:
		return "command"
	case DeniedKey:
		return "key"
	case DeniedChannel:
		return "channel"
	case DeniedAuth:
		return "auth"
	}
	return "unknown"
}
