package pool

import "ringway/resp"

// Kind is what the connections of a ConnSet of the pool's own user have in common.
type Kind struct {
	RESP3 bool
	DB    int
}

// KindsInUse returns the kinds of the loop's connections that sessions use. ACL users of the servers are left out.
func (l *Local) KindsInUse() (kinds []Kind) {
	for _, cs := range l.connSets {
		if cs.holders > 0 && cs.kind.user == nil {
			kinds = append(kinds, Kind{cs.kind.protocol == resp.RESP3, cs.kind.db})
		}
	}
	return kinds
}

// Preconnect makes the loop's connections of a kind before their first request. It returns how many of them are neither made nor
// have failed; it may be called again to see.
func (l *Local) Preconnect(k Kind) (pending int) {
	protocol := resp.RESP2
	if k.RESP3 {
		protocol = resp.RESP3
	}
	for _, c := range l.ConnSet(protocol, k.DB).all() {
		if c == nil {
			continue
		}
		if c.Connect(); c.Up() && !c.Connected() {
			pending++
		}
	}
	return pending
}
