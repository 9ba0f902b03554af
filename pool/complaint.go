package pool

import (
	"bytes"
	"time"
)

// checkEvery is how often a server that says it is loading is looked at, at most.
const checkEvery = 100 * time.Millisecond

// A notice is what an error of a server says of the pool's settings.
type notice struct {
	prefix string
	static bool // it says so of static pools alone
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

// Complained is pipeline.Observer's.
func (s *server) Complained(reply []byte) {
	if bytes.HasPrefix(reply, []byte("-LOADING ")) {
		s.loads()
		return
	}
	for i := range notices {
		n := &notices[i]
		if !bytes.HasPrefix(reply, []byte(n.prefix)) {
			continue
		}
		if (!n.static || !s.pool.follows) && s.noted.Or(n.bit)&n.bit == 0 {
			s.pool.log.Warn(n.text, "server", s.name, "addr", s.addr, "err", string(bytes.TrimSpace(reply[1:min(len(reply), 128)])))
		}
		return
	}
}

// loads has a server looked at that says it is loading, so that its keys move to
// the others until it has loaded: it is no better than one that is down. A reply
// alone is not believed.
func (s *server) loads() {
	p := s.pool
	if !p.conf.AutoEjectHosts || p.follows || p.watcher == nil {
		return
	}
	now, last := int64(time.Since(started)), s.lastCheck.Load()
	if last != 0 && now-last < int64(checkEvery) || !s.lastCheck.CompareAndSwap(last, now) {
		return
	}
	p.watcher.Suspect(p, s.index, s.addr, LoadingServer)
}
