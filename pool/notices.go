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

// ofACluster is logged for the errors that only a Cluster's server gives.
const ofACluster = "server is part of a Redis Cluster, which places keys differently from this pool: set topology = \"cluster\" and list some of its servers. Logged once for each server"

// notices are the errors of servers that say something about the settings.
var notices = []notice{
	{"-MOVED ", true, 1, ofACluster},
	{"-ASK ", true, 1, ofACluster},
	{"-CROSSSLOT ", true, 1, ofACluster},
	{"-CLUSTERDOWN ", true, 1, ofACluster},
	{"-READONLY ", true, 2, "server is a replica, which takes no writes: list its primary in servers, or follow primaries with topology = \"replicated\" or \"sentinel\". Logged once for each server"},
	{"-NOAUTH ", false, 4, "server wants a password: set redis_auth, and for an ACL user redis_user. Logged once for each server"},
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

// checkLoading asks the watcher to check a server that says it is loading: a reply alone
// is not believed. If it is true, the keys move to the other servers until the server has
// loaded.
func (s *server) checkLoading() {
	p := s.pool
	if !p.Conf().AutoEjectHosts || p.follows || p.watcher == nil {
		return
	}
	now, last := int64(time.Since(started)), s.loadingCheckAt.Load()
	if last != 0 && now-last < int64(checkEvery) || !s.loadingCheckAt.CompareAndSwap(last, now) {
		return
	}
	p.watcher.Suspect(p, s.index, s.addr, LoadingServer)
}
