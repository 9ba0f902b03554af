package session

import (
	"ringway/acl"
	"ringway/pool"
	"ringway/pubsub"
	"ringway/stats"
)

// shared is what the sessions of one pool on one loop have in common. It belongs to that
// loop. Other loops reach it through the loop's mailbox, by eachLoop and gatherLoops.
type shared struct {
	// Static after construction.
	w             *Worker
	local         *pool.Local
	subscriptions *pubsub.Local
	poolName      string
	poolIndex     int            // in Worker.pools
	stats         *stats.Pool    // what is counted; nil if nothing is (statistics = false)
	hot           *stats.HotKeys // likewise
	slow          *stats.SlowLog // likewise
	big           bigValues
	askedHotKeys  *hotKeysTracking // HOTKEYS START, of the pool on all loops
	peers         []*shared        // those of the same pool on all loops, this one included

	// Owned by the loop; each has a file of its own.
	poolPolicy     *policy               // of clients that are not subscribed, without unusual conditions
	userPolicies   map[*acl.User]*policy // likewise, of users of the proxy
	aclLog         acl.Log               // denials of this loop
	conditions     *conditions
	scripts        *scriptMemory
	tracker        *tracker
	moduleCommands *moduleCommands // nil until a command comes that only the servers know
	merger         *merger         // nil if SETs are not merged
	logins         *logins
	waits          map[int]*keyWaits // by database
	rounds         loopRounds
	hotPeriod      trackedHotKeys
	rings          int   // pool.Pool.Rings when the sessions last followed
	failingOver    bool  // requests wait for a primary (followFailover)
	movesBlocked   int64 // until when blocked requests are moved to new owners of their keys, as eventloop.Loop.Now
}

// newShared returns what w's sessions of the pool p will share. index is the pool's, in
// Worker.pools.
func newShared(w *Worker, p *pool.Pool, subscriptions *pubsub.Pool, index int) *shared {
	sh := &shared{w: w, poolName: p.Conf().Name, poolPolicy: newPolicy(p.Conf(), p.DefaultShard(), nil), userPolicies: map[*acl.User]*policy{}, poolIndex: index, waits: map[int]*keyWaits{}, conditions: newConditions(), scripts: newScriptMemory()}
	if w.conf.Statistics {
		sh.stats, sh.hot, sh.slow = new(stats.Pool), new(stats.HotKeys), stats.NewSlowLog(p.Conf().SlowRequest)
	}
	sh.big = newBigValues(p.Conf(), w.conf.Statistics)
	sh.local = p.NewLocal(w.loop, sh.ownerOf)
	sh.local.SetReads(w.onlyReads)
	sh.subscriptions = pubsub.NewLocal(subscriptions, w.loop, sh.local)
	sh.subscriptions.SetOnSubscribed(func() { w.resumePublishers(true) })
	sh.local.SetChangeListener(sh.subscriptions)
	sh.local.SetOnLate(func() {
		for _, s := range sh.sessions() {
			s.beSerial()
		}
	})
	sh.merger, sh.logins, sh.tracker = newMerger(sh.local), newLogins(sh.local), newTracker(w, sh.subscriptions)
	return sh
}

// setPeers sets the peers of every pool on every loop.
func setPeers(workers []*Worker) {
	for i := range workers[0].pools {
		var peers []*shared
		for _, w := range workers {
			peers = append(peers, w.pools[i])
		}
		asked := new(hotKeysTracking)
		for _, sh := range peers {
			sh.peers, sh.askedHotKeys = peers, asked
		}
	}
}

// sessions returns the sessions of the pool on this loop. It walks over those of all pools.
func (sh *shared) sessions() (peers []*session) {
	for _, s := range sh.w.sessions {
		if s.shared == sh {
			peers = append(peers, s)
		}
	}
	return peers
}

// eachLoop calls f once for each loop, on that loop, with what the pool's sessions share
// there: on this loop at once, on others some time later, through their mailboxes.
func (sh *shared) eachLoop(f func(peer *shared)) {
	for _, peer := range sh.peers {
		if peer == sh {
			f(peer)
			continue
		}
		peer.w.loop.Post(func() { f(peer) })
	}
}

// gatherLoops asks all loops something about sh's pool. It calls ask once for each loop, on
// that loop and from its mailbox, this one included. Each ask must call tell once, at any
// time, on the loop that it was called on. When all have, done is called on sh's loop with
// what they told, in no order.
func gatherLoops[T any](sh *shared, ask func(peer *shared, tell func(T)), done func(told []T)) {
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
