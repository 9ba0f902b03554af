package server

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"ringway/conf"
)

// turnedAway counts clients of a pool that were closed before they were served.
type turnedAway struct {
	network atomic.Uint64 // allow_networks or deny_networks
	header  atomic.Uint64 // no valid header of the PROXY protocol
	warned  atomic.Int64  // when a warning about one was logged last, in nanoseconds since 1970
}

// warnEvery is how often a pool warns of clients that it turns away.
const warnEvery = time.Minute

// warn logs a warning, unless there was one lately.
func (ln *listener) warn(text string, args ...any) {
	now, last := time.Now().UnixNano(), ln.away.warned.Load()
	if now-last < int64(warnEvery) || !ln.away.warned.CompareAndSwap(last, now) {
		return
	}
	ln.srv.log.Warn(text, append([]any{"pool", ln.pool.Conf().Name}, args...)...)
}

// mayEnter reports whether a client at an address may use a pool. Clients on unix sockets have no address.
func mayEnter(c *conf.Pool, peer netip.Addr) bool {
	switch {
	case c.AllowNetworks == nil && c.DenyNetworks == nil, !peer.IsValid():
		return true
	case contains(c.DenyNetworks, peer):
		return false
	}
	return c.AllowNetworks == nil || contains(c.AllowNetworks, peer)
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}
