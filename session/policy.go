package session

import (
	"slices"

	"ringway/acl"
	"ringway/command"
	"ringway/conf"
	"ringway/pool"
)

// policy is what a pool's configuration says about each command. It is immutable, and belongs to
// a loop. A session has the variant for its state (session.updatePolicy), so that one
// look-up says what becomes of a request.
type policy struct {
	verdicts       []verdict // by command.Command.ID
	defaultServer  int       // shard for requests that concern no shard in particular
	inScripts      deniedInScripts
	subscriberMode *policy // the variant for clients in subscriber mode; nil in itself
	checking       *policy // the variant with session.check for every permitted command; nil in itself
	restricted     *policy // the variant for clients that are ACL users; nil in itself
}

// verdict is what becomes of a command.
type verdict uint8

const (
	permitted          verdict = iota
	byKey                      // permitted if the client's user may use the request's only key; else as checked
	checked                    // permitted, but session.check looks at it first
	guarded                    // refused, since allow_commands does not have it
	forbidden                  // refused, since deny_commands has it
	notWhileSubscribed         // refused, since the client is in subscriber mode
	notByUser                  // refused, since the client's user has no right to it
)

// newPolicy returns the policy of a pool, with its variants, for clients that are a user of the proxy; nil for
// one who may do everything. defaultServer is pool.Pool.DefaultShard's.
func newPolicy(c *conf.Pool, defaultServer int, u *acl.User) *policy {
	p := &policy{verdicts: make([]verdict, command.Count()), inScripts: newDeniedInScripts(c.DenyCommands)}
	for id := range p.verdicts {
		cmd := command.ByID(id)
		rights := acl.Always
		if u != nil {
			rights = u.Rights(cmd)
		}
		switch {
		case rights == acl.Never:
			p.verdicts[id] = notByUser
		case cmd.IsNamed(c.DenyCommands):
			p.verdicts[id] = forbidden
		case cmd.Guarded && !cmd.IsNamed(c.AllowCommands) && !(c.Users != nil && isAboutUsers(cmd)):
			p.verdicts[id] = guarded
		case len(p.inScripts) > 0 && bringsScript(cmd), isAudited(cmd):
			p.verdicts[id] = checked
		case rights == acl.Depends && cmd.SoleKey > 0:
			p.verdicts[id] = byKey
		case rights == acl.Depends:
			p.verdicts[id] = checked
		}
	}
	p.defaultServer = defaultServer
	p.subscriberMode = subscriberPolicy(p)
	p.checking = checkingPolicy(p)
	p.restricted = restrictedPolicy(p)
	return p
}

// checkingPolicy returns p with session.check for every permitted command.
func checkingPolicy(p *policy) *policy {
	u := &policy{verdicts: slices.Clone(p.verdicts), defaultServer: p.defaultServer, inScripts: p.inScripts, subscriberMode: p.subscriberMode}
	for id, v := range u.verdicts {
		if v <= byKey {
			u.verdicts[id] = checked
		}
	}
	return u
}

// permits reports whether a command may be used, with a check or without.
func (p *policy) permits(cmd *command.Command) bool { return p.verdicts[cmd.ID] <= checked }

// defaultServer returns the shard for requests that concern no server in particular.
func (s *session) defaultServer() int { return s.policy.defaultShard(s.local) }

// defaultShard returns the shard for requests that concern no shard in particular: that of
// default_server, or the next one that is not ejected.
func (p *policy) defaultShard(local *pool.Local) int {
	shards := local.Shards()
	for i := range shards {
		if shard := (p.defaultServer + i) % shards; !local.Absent(shard) {
			return shard
		}
	}
	return p.defaultServer
}
