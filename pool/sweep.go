package pool

import (
	"time"

	"ringway/resp"
)

// unusedFor is how long connections stay that nobody uses: of databases and protocols
// that no client has selected any more, of ACL users that no client is any more.
const unusedFor = time.Minute

// Retain notes that one more session uses the connection sets, until Release.
func (n *ConnSet) Retain() { n.holders++ }

// Release ends Hold.
func (n *ConnSet) Release() {
	if n.holders--; n.holders == 0 {
		n.unusedSince = n.l.loop.Now()
	}
}

// Sweep closes connections that nobody has used for a minute. It is to be called now
// and then, on the loop.
func (l *Local) Sweep() {
	before := l.loop.Now() - int64(unusedFor)
	l.sweep(before, time.Now().Add(-unusedFor))
}

func (l *Local) sweep(before int64, idleUsers time.Time) {
	l.closeSpares(func(_ dedicatedKey, s spare) bool { return s.since <= before || !s.conn.Up() })
	if l.dedicated.over(l.conf.PinnedConnections) {
		l.evictOwn()
	}
	l.users.forget(idleUsers)
	l.forgetDeclined(before)
	kept := l.shared[:0]
	for _, n := range l.shared {
		if n.isUnused(before) {
			n.close()
		} else {
			kept = append(kept, n)
		}
	}
	clear(l.shared[len(kept):])
	l.shared = kept
}

// isUnused reports whether no session has used the connection sets since a moment, and nothing
// is under way on them. Those that clients begin with stay.
func (n *ConnSet) isUnused(since int64) bool {
	if n.kind == (kind{protocol: resp.RESP2, db: n.l.conf.RedisDB}) || n.holders > 0 || n.unusedSince > since {
		return false
	}
	for _, c := range n.all() {
		if c.InFlight() > 0 {
			return false
		}
	}
	return true
}

// close closes the connections for good.
func (n *ConnSet) close() {
	for _, c := range n.all() {
		c.Close()
	}
}

// forget drops users that no session has been since a moment.
func (us *users) forget(before time.Time) {
	us.mu.Lock()
	defer us.mu.Unlock()
	for id, u := range us.byID {
		if u.sessions == 0 && u.since.Before(before) {
			delete(us.byID, id)
		}
	}
}
