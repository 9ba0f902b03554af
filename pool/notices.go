package pool

import (
	"bytes"
	"time"
)

// checkEvery is the least time between two checks of a server that says it is loading.
const checkEvery = 100 * time.Millisecond

// notice is what an error of a server says about the pool's settings.
type notice struct {
	prefix string
	static bool // it means something in static pools only
	bit    uint32
	text   string
}

const ofACluster = "server is part of a Redis Cluster, and gives keys to other servers than this pool does: set topology = \"cluster\" and list some of its servers. This is logged once"

var notices = []notice{
	{"-MOVED ", true, 1, ofACluster},
	{"-ASK ", true, 1, ofACluster},
	{"-CROSSSLOT ", true, 1, ofACluster},
	{"-CLUSTERDOWN ", true, 1, ofACluster},
	{"-READONLY ", true, 2, "server is a replica, which takes no writes: list its primary in servers, or have primaries followed with topology = \"replicated\" or \"sentinel\". This is logged once"},
	{"-NOAUTH ", false, 4, "server wants a password: set redis_auth, and with an ACL user redis_user. This is logged once"},
}

// Complained is pipeline.Observer's: it logs a notice, once for each server.
func (s *server) Complained(reply []byte) {
	if bytes.HasPrefix(reply, []byte("-LOADING ")) {
		s.checkLoading()
		return
	}
	for i := range notices {
		n := &notices[i]
		if !bytes.HasPrefix(reply, []byte(n.prefix)) {
			continue
		}
		if (!n.static || !s.pool.follows) && s.loggedNotices.Or(n.bit)&n.bit == 0 {
			s.pool.log.Warn(n.text, "server", s.name, "addr", s.addr, "err", string(bytes.TrimSpace(reply[1:min(len(reply), 128)])))
		}
		return
	}
}

// checkLoading has the watcher check a server that says it is loading. A reply alone is
// not believed. If it is true, the keys move to the other servers until the server has
// loaded.
func (s *server) checkLoading() {
	p := s.pool
	if !p.conf.AutoEjectHosts || p.follows || p.watcher == nil {
		return
	}
	now, last := int64(time.Since(started)), s.loadingCheckAt.Load()
	if last != 0 && now-last < int64(checkEvery) || !s.loadingCheckAt.CompareAndSwap(last, now) {
		return
	}
	p.watcher.Suspect(p, s.index, s.addr, LoadingServer)
}
