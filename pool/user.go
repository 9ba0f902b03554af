package pool

import (
	"errors"

	"ringway/pipeline"
)

// User is an ACL user of the servers, as whom connections are made. The zero value
// stands for the one that the configuration names.
type User struct{ Name, Password string }

// Users is how many ACL users, beside the one of the configuration, this loop has
// connections for, and whether the given one is among them.
func (l *Local) Users(user User) (n int, known bool) {
	seen := map[User]bool{{}: true}
	for _, lanes := range l.shared {
		if u := lanes.kind.user; !seen[u] {
			seen[u] = true
			n++
		}
	}
	return n, seen[user]
}

// guest observes the connections of an ACL user: one whose password was changed is
// refused by a server that has not failed.
type guest struct{ *server }

// Failed is pipeline.Observer's.
func (g guest) Failed(err error) {
	if !errors.Is(err, pipeline.ErrHandshake) {
		g.server.Failed(err)
	}
}

// observer is who is told how a connection of the lanes fares.
func (n *Lanes) observer(s *server) pipeline.Observer {
	if n.kind.user != (User{}) {
		return guest{s}
	}
	return s
}
