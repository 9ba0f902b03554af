package session

import (
	"ringway/pool"
	"ringway/pubsub"
)

// shared is what the sessions of one pool on one loop share. It belongs to that loop;
// other loops reach it through the loop's mailbox, by each and gather.
type shared struct {
	// Static after construction.
	w             *Worker
	local         *pool.Local
	subscriptions *pubsub.Local
	poolName      string
	poolPolicy    *policy   // of clients that are not subscribed, while all is as usual
	poolIndex     int       // in Worker.pools
	peers         []*shared // of the same pool on all loops, this one included

	// Owned by the loop.
	conditions     *conditions
	scripts        *scriptMemory
	tracker        *tracker
	moduleCommands *moduleCommands // nil until a command of the servers' own is met
	merger         *merger         // nil where SETs are not merged
	logins         *logins
}

func newShared(w *Worker, p *pool.Pool, subscriptions *pubsub.Pool, policy *policy, index int) *shared {
	sh := &shared{w: w, poolName: p.Conf().Name, poolPolicy: policy, poolIndex: index, conditions: newConditions(), scripts: newScriptMemory()}
	sh.local = p.NewLocal(w.loop, sh.ownerOf)
	sh.local.SetReads(w.onlyReads)
	sh.subscriptions = pubsub.NewLocal(subscriptions, w.loop, sh.local)
	sh.subscriptions.SetOnSubscribed(func() { w.joined(true) })
	sh.local.SetChangeListener(sh.subscriptions)
	sh.local.SetOnLate(func() {
		for _, s := range sh.sessions() {
			s.beSerial()
		}
	})
	sh.merger, sh.logins, sh.tracker = newMerger(sh.local), newLogins(sh.local), newTracker(w, sh.subscriptions)
	return sh
}

// introduce has each loop's part of a pool know those of the other loops.
func introduce(workers []*Worker) {
	for i := range workers[0].pools {
		var peers []*shared
		for _, w := range workers {
			peers = append(peers, w.pools[i])
		}
		for _, sh := range peers {
			sh.peers = peers
		}
	}
}

// sessions returns the sessions of the pool on this loop.
func (sh *shared) sessions() (peers []*session) {
	for _, s := range sh.w.sessions {
		if s.shared == sh {
			peers = append(peers, s)
		}
	}
	return peers
}

// policy is that of the pool's sessions that are not subscribed.
func (sh *shared) policy() *policy {
	if sh.conditions.any() {
		return sh.poolPolicy.checking
	}
	return sh.poolPolicy
}

// each calls f for the pool on every loop, there: on this one at once, on others through
// their mailboxes.
func (sh *shared) each(f func(peer *shared)) {
	for _, peer := range sh.peers {
		if peer == sh {
			f(peer)
			continue
		}
		peer.w.loop.Post(func() { f(peer) })
	}
}

// gather calls ask for the pool on every loop, there and from the mailbox, and done on
// sh's loop with what all have told, in no order. Each ask must call tell once, at any
// time, on the loop that it was called on.
func gather[T any](sh *shared, ask func(peer *shared, tell func(T)), done func(told []T)) {
	var all []T
	left := len(sh.peers)
	for _, peer := range sh.peers {
		peer.w.loop.Post(func() {
			ask(peer, func(told T) {
				sh.w.loop.Post(func() {
					all = append(all, told)
					if left--; left == 0 {
						done(all)
					}
				})
			})
		})
	}
}
