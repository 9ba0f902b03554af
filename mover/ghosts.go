package mover

import (
	"context"
	"fmt"
)

// Ghosts returns how many keys the servers of the second pool have that they will own and that the first pool does not
// have, and one of them. A Copier removes them.
func Ghosts(ctx context.Context, from, to *Pool) (n int64, example string, err error) {
	m := &measuring{ctx: ctx, from: from, to: to}
	for _, s := range to.distinct() {
		if err := m.target(s); err != nil {
			return 0, "", fmt.Errorf("server %s: %w", s.Name, err)
		}
	}
	return m.found.Ghosts, m.ghost, nil
}

// Shared returns the name of a server that both pools use, with a database that clients of both can use; "" if there
// is none.
func (p *Pool) Shared(with *Pool) string {
	for _, s := range p.Servers {
		if with.byRunID(s.RunID) == nil {
			continue
		}
		for db := range int64(max(p.Conf.Databases, with.Conf.Databases, p.Conf.RedisDB+1, with.Conf.RedisDB+1)) {
			if p.reaches(db) && with.reaches(db) {
				return s.Name
			}
		}
	}
	return ""
}
