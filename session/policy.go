package session

import (
	"slices"
	"strings"

	"ringway/command"
	"ringway/conf"
	"ringway/pool"
)

// policy is what a pool's configuration says about commands. It is immutable
// and shared by all loops.
type policy struct {
	verdicts      []verdict // by command.Command.ID
	defaultServer int       // for what concerns no server in particular
	inScripts     deniedInScripts
	listening     *policy // the same for clients in subscriber mode; nil in itself
	checking      *policy // the same, with session.check for all that is permitted; nil in itself
	restricted    *policy // the same for clients that are ACL users; nil in itself
}

type verdict uint8

const (
	permitted     verdict = iota
	checked               // permitted, but session.check looks at it first
	guarded               // the pool does not allow it
	forbidden             // the pool denies it
	notSubscribed         // not while the client is subscribed
)

func newPolicy(c *conf.Pool) *policy {
	p := &policy{verdicts: make([]verdict, command.Count()), inScripts: newDeniedInScripts(c.DenyCommands)}
	for id := range p.verdicts {
		cmd := command.ByID(id)
		switch {
		case names(c.DenyCommands, cmd):
			p.verdicts[id] = forbidden
		case cmd.Guarded && !names(c.AllowCommands, cmd):
			p.verdicts[id] = guarded
		case len(p.inScripts) > 0 && bringsScript(cmd):
			p.verdicts[id] = checked
		}
	}
	p.defaultServer = max(0, slices.IndexFunc(c.Servers, func(s conf.Server) bool { return s.Name == c.DefaultServer }))
	p.listening = listeningPolicy(p)
	p.checking = checkingPolicy(p)
	p.restricted = restrictedPolicy(p)
	return p
}

// checkingPolicy has session.check look at everything that is permitted.
func checkingPolicy(p *policy) *policy {
	u := &policy{verdicts: slices.Clone(p.verdicts), defaultServer: p.defaultServer, inScripts: p.inScripts, listening: p.listening}
	for id, v := range u.verdicts {
		if v == permitted {
			u.verdicts[id] = checked
		}
	}
	return u
}

// permits reports whether a command may be used.
func (p *policy) permits(cmd *command.Command) bool { return p.verdicts[cmd.ID] <= checked }

// names tells whether a list has a command or its container.
func names(list []string, cmd *command.Command) bool {
	container, _, _ := strings.Cut(cmd.Name, "|")
	return slices.Contains(list, cmd.Name) || slices.Contains(list, container)
}

// defaultServer is where a request goes that concerns no server in particular.
func (s *session) defaultServer() int { return s.policy.defaultShard(s.local) }

// defaultShard is where a request goes that concerns no shard in particular.
func (p *policy) defaultShard(local *pool.Local) int {
	shards := local.Shards()
	for i := range shards {
		if shard := (p.defaultServer + i) % shards; !local.Absent(shard) {
			return shard
		}
	}
	return p.defaultServer
}
