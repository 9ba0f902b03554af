package session

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringway/acl"
	"ringway/resp"
)

// clientFilter says which clients CLIENT LIST shows or CLIENT KILL closes. The zero value selects all.
type clientFilter struct {
	conditions map[string]condition // all of them hold; by the option's name, so that the last of a name counts
	user       string               // the value of USER, "" if it was not given
	skipMe     bool
	plain      bool // the old form, CLIENT KILL addr
}

// condition reports whether a client has what an option of the filter asks for.
type condition func(peer *session) bool

// matches reports whether the filter selects peer.
func (f *clientFilter) matches(peer *session) bool {
	for _, holds := range f.conditions {
		if !holds(peer) {
			return false
		}
	}
	return true
}

// isClientKind reports whether Redis has a client type of that name, for CLIENT LIST and KILL TYPE.
func isClientKind(name string) bool {
	return slices.Contains([]string{"normal", "pubsub", "master", "replica", "slave"}, name)
}

// parseListFilter reads the arguments behind CLIENT LIST. Redis takes one option there, TYPE or ID with several numbers.
func (s *session) parseListFilter(args [][]byte) (f clientFilter, problem string) {
	switch {
	case len(args) == 0:
		return clientFilter{}, ""
	case s.local.Valkey():
		return s.parseOptions(f, args)
	case len(args) == 2 && strings.EqualFold(string(args[0]), "type"):
		return s.parseOptions(f, args)
	case len(args) < 2 || !strings.EqualFold(string(args[0]), "id"):
		return f, "ERR syntax error"
	}
	ids := map[uint64]bool{}
	for _, arg := range args[1:] {
		id, ok := resp.ParseInt(arg)
		if !ok {
			return f, "ERR Invalid client ID"
		}
		ids[uint64(id)] = true
	}
	f.conditions = map[string]condition{"id": func(peer *session) bool { return ids[peer.info.id] }}
	return f, ""
}

// parseKillFilter reads the arguments behind CLIENT KILL.
func (s *session) parseKillFilter(args [][]byte) (f clientFilter, problem string) {
	if len(args) == 1 {
		addr := string(args[0])
		f.plain = true
		f.conditions = map[string]condition{"addr": func(peer *session) bool { return peer.info.addr == addr }}
		return f, ""
	}
	return s.parseOptions(clientFilter{skipMe: true}, args)
}

// parseOptions adds to f options with their values, in the words of the pool's servers: Valkey has
// more of them than Redis (all of CLIENT KILL's of Valkey 9 also in CLIENT LIST). problem is the error for the client, or "".
func (s *session) parseOptions(f clientFilter, args [][]byte) (_ clientFilter, problem string) {
	valkey := s.local.Valkey()
	f.conditions = map[string]condition{}
	for len(args) > 0 {
		if len(args) == 1 {
			return f, "ERR syntax error"
		}
		option, value, used := strings.ToLower(string(args[0])), string(args[1]), 2
		var holds condition
		name, negated := option, false
		if valkey {
			name, negated = strings.CutPrefix(option, "not-")
		}
		switch {
		case name == "id" && valkey:
			holds, used, problem = parseClientIDs(args)
		case name == "skipme" && !negated:
			f.skipMe, problem = parseSkipMe(value, f.skipMe)
		case name == "maxage" && !negated:
			holds, problem = parseSeconds("maxage", value, func(peer *session) time.Duration { return time.Since(peer.info.since) })
		case name == "idle" && !negated && valkey:
			holds, problem = parseSeconds("idle", value, func(peer *session) time.Duration { return time.Duration(peer.w.loop.Now() - peer.lastActive) })
		default:
			if holds, problem = s.clientCondition(name, value); holds == nil && problem == "" && valkey {
				holds, problem = s.valkeyCondition(name, value)
			}
			if holds == nil && problem == "" {
				problem = "ERR syntax error"
			}
			if name == "user" && !negated {
				f.user = value
			}
		}
		if problem != "" {
			return f, problem
		}
		if negated {
			is := holds
			holds = func(peer *session) bool { return !is(peer) }
		}
		if holds != nil {
			f.conditions[option] = holds
		}
		args = args[used:]
	}
	return f, ""
}

// clientCondition returns the condition of an option that Redis 7 has; nil if it has none of that name.
func (s *session) clientCondition(name, value string) (holds condition, problem string) {
	switch name {
	case "id":
		id, ok := resp.ParseInt([]byte(value))
		if !ok || id <= 0 {
			return nil, "ERR client-id should be greater than 0"
		}
		return func(peer *session) bool { return peer.info.id == uint64(id) }, ""
	case "addr":
		return func(peer *session) bool { return peer.info.addr == value }, ""
	case "laddr":
		return func(peer *session) bool { return peer.info.local == value }, ""
	case "type":
		kind := strings.ToLower(value)
		if !isClientKind(kind) {
			return nil, "ERR Unknown client type '" + value + "'"
		}
		return func(peer *session) bool { return peer.kind() == kind }, ""
	case "user":
		if !s.mayBeUser(value) {
			return nil, "ERR No such user '" + value + "'"
		}
		return func(peer *session) bool { return peer.userName() == value }, ""
	}
	return nil, ""
}

// The letters that a filter may have: those of flags in CLIENT LIST of Valkey 9, and of its client capabilities.
const (
	valkeyFlags        = "ASMOPxbctRBduUreTIiEN"
	valkeyCapabilities = "r"
)

// valkeyCondition returns the condition of an option that Valkey 9 has and Redis lacks; nil if there is none of that name.
func (s *session) valkeyCondition(name, value string) (holds condition, problem string) {
	switch name {
	case "name":
		return func(peer *session) bool { return peer.info.name == value && value != "" }, ""
	case "lib-name":
		return func(peer *session) bool { return peer.info.lib == value && value != "" }, ""
	case "lib-ver":
		return func(peer *session) bool { return peer.info.ver == value && value != "" }, ""
	case "ip":
		return func(peer *session) bool {
			host, _, err := net.SplitHostPort(peer.info.addr)
			return err == nil && host == value
		}, ""
	case "db":
		db, err := strconv.Atoi(value)
		last := s.local.Conf().Databases - 1
		switch {
		case err != nil:
			return nil, "ERR DB is not an integer or out of range"
		case db < 0 || db > last:
			return nil, fmt.Sprintf("ERR DB number should be between 0 and %d", last)
		}
		return func(peer *session) bool { return peer.conns.DB() == db }, ""
	case "flags":
		if strings.Trim(value, valkeyFlags) != "" {
			return nil, "ERR Unknown flags found in the provided filter: " + value
		}
		// Each letter once: a value may be as long as a request, and is compared with every client.
		wanted := strings.Map(func(flag rune) rune {
			if strings.ContainsRune(value, flag) {
				return flag
			}
			return -1
		}, valkeyFlags)
		return func(peer *session) bool {
			has := peer.flags()
			return !strings.ContainsFunc(wanted, func(flag rune) bool { return !strings.ContainsRune(has, flag) })
		}, ""
	case "capa":
		if strings.Trim(value, valkeyCapabilities) != "" {
			return nil, "ERR Unknown capa found in the provided filter: " + value
		}
		return func(*session) bool { return value == "" }, "" // no client of a proxy has declared one
	}
	return nil, ""
}

// mayBeUser reports whether a client may have authenticated as the user of that name.
func (s *session) mayBeUser(name string) bool {
	c := s.local.Conf()
	return name == acl.Default || c.ACLUsers > 0 || c.Users.Named(name) != nil
}

// parseClientIDs reads ID of Valkey, which takes several numbers. used is how many of args belong to it.
func parseClientIDs(args [][]byte) (holds condition, used int, problem string) {
	ids := map[uint64]bool{}
	for used = 1; used < len(args); used++ {
		id, ok := resp.ParseInt(args[used])
		if !ok {
			break
		}
		if id <= 0 {
			return nil, used, "ERR client-id should be greater than 0"
		}
		ids[uint64(id)] = true
	}
	if len(ids) == 0 {
		return nil, used, "ERR syntax error"
	}
	return func(peer *session) bool { return ids[peer.info.id] }, used, ""
}

// parseSkipMe reads SKIPME's value. It returns before if there is a problem.
func parseSkipMe(value string, before bool) (skip bool, problem string) {
	switch strings.ToLower(value) {
	case "yes":
		return true, ""
	case "no":
		return false, ""
	}
	return before, "ERR syntax error"
}

// parseSeconds reads the value of MAXAGE or IDLE: of a client must be at least so many seconds.
func parseSeconds(option, value string, of func(peer *session) time.Duration) (holds condition, problem string) {
	seconds, err := strconv.ParseInt(value, 10, 32)
	switch {
	case err != nil || seconds <= 0 && option == "maxage":
		return nil, "ERR " + option + " is not an integer or out of range"
	case seconds <= 0:
		return nil, "ERR " + option + " should be greater than 0"
	}
	return func(peer *session) bool { return of(peer) >= time.Duration(seconds)*time.Second }, ""
}
