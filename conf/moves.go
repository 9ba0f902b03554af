package conf

import "ringway/hashring"

// Moves compares where two configurations of a pool place keys: by the names of servers, shards or
// masters. A Cluster's own slots move no keys, whatever its configuration says. The error is
// hashring.New's, which a valid configuration does not cause.
func (p *Pool) Moves(now *Pool) (*hashring.Moved, error) {
	switch was, will := p.Topology == Cluster, now.Topology == Cluster; {
	case was && will:
		return &hashring.Moved{}, nil
	case will:
		return &hashring.Moved{All: "a Cluster has them in its own slots"}, nil
	case was:
		return &hashring.Moved{All: "they leave the slots of a Cluster"}, nil
	}
	before, err := hashring.New(p.Ring())
	if err != nil {
		return nil, err
	}
	after, err := hashring.New(now.Ring())
	if err != nil {
		return nil, err
	}
	return hashring.Moves(before, after), nil
}
