package pool

import (
	"time"

	"ringway/resp"
)

// unusedFor is how long connections stay open that no session uses: of databases and
// protocols that no client has selected any more, and of ACL users that no client is any
// more.
const unusedFor = time.Minute

// Retain notes that one more session uses the set, until Release.
func (cs *ConnSet) Retain() { cs.holders++ }

// Release ends Retain.
func (cs *ConnSet) Release() {
	if cs.holders--; cs.holders == 0 {
		cs.unusedSince = cs.l.loop.Now()
	}
}

// Sweep closes connections that nobody has used for a minute. The loop's owner calls it
// now and then, on the loop.
func (l *Local) Sweep() {
	before := l.loop.Now() - int64(unusedFor)
	l.sweep(before, time.Now().Add(-unusedFor))
	now := int64(time.Since(started))
	l.sweepCounts(now, now-int64(countsKeptFor))
}

func (l *Local) sweep(before int64, idleUsers time.Time) {
	l.closeSpares(func(_ dedicatedKey, s spare) bool { return s.since <= before || !s.conn.Up() })
	if l.dedicated.over(l.Conf().PinnedConnections) {
		l.evictOwn()
	}
	l.users.forget(idleUsers)
	l.forgetRefusals(before)
	kept := l.connSets[:0]
	for _, cs := range l.connSets {
		if cs.isUnused(before) {
			cs.close()
		} else {
			kept = append(kept, cs)
		}
	}
	clear(l.connSets[len(kept):])
	l.connSets = kept
}

// isUnused reports whether no session has used the set since a moment, and nothing is in
// flight on it. The set that clients begin with is never unused.
func (cs *ConnSet) isUnused(since int64) bool {
	first := cs.kind == kind{protocol: resp.RESP2, db: cs.l.Conf().RedisDB}
	if first && !cs.Outdated() || cs.holders > 0 || cs.unusedSince > since {
		return false
	}
	for _, c := range cs.all() {
		if c.InFlight() > 0 {
			return false
		}
	}
	return true
}

// close closes the connections for good.
func (cs *ConnSet) close() {
	for _, c := range cs.all() {
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
