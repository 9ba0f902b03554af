package server

import (
	"slices"
	"strings"

	"ringway/command"
	"ringway/conf"
)

// policy is what a pool's configuration says about commands. It is immutable
// and shared by all loops.
type policy struct {
	verdicts      []verdict // by command.Command.ID
	defaultServer int       // for what concerns no server in particular
	listening     *policy   // the same for clients in subscriber mode; nil in itself
}

type verdict uint8

const (
	permitted  verdict = iota
	guarded            // the pool does not allow it
	forbidden          // the pool denies it
	outOfPlace         // not while the client is subscribed
)

func newPolicy(c *conf.Pool) *policy {
	p := &policy{verdicts: make([]verdict, command.Count())}
	for id := range p.verdicts {
		cmd := command.ByID(id)
		switch {
		case names(c.DenyCommands, cmd):
			p.verdicts[id] = forbidden
		case cmd.Guarded && !names(c.AllowCommands, cmd):
			p.verdicts[id] = guarded
		}
	}
	p.defaultServer = max(0, slices.IndexFunc(c.Servers, func(s conf.Server) bool { return s.Name == c.DefaultServer }))
	p.listening = listeningPolicy(p)
	return p
}

// names tells whether a list has a command or its container.
func names(list []string, cmd *command.Command) bool {
	container, _, _ := strings.Cut(cmd.Name, "|")
	return slices.Contains(list, cmd.Name) || slices.Contains(list, container)
}

// ejected tells whether a server is off the ring.
func (s *session) ejected(server int) bool {
	return s.local.Conf().AutoEjectHosts && s.local.IsDown(server)
}

// defaultServer is where a request goes that concerns no server in particular.
func (s *session) defaultServer() int {
	servers := s.local.Servers()
	for i := range servers {
		if server := (s.policy.defaultServer + i) % servers; !s.ejected(server) {
			return server
		}
	}
	return s.policy.defaultServer
}
