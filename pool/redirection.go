package pool

import (
	"bytes"
	"net"
	"slices"
	"strconv"
	"time"

	"ringway/hashring"
)

// redirection is what -MOVED or -ASK says: which slot belongs, or may belong, to another
// server. It comes from the network, so only Local.redirection makes one, which has
// checked it.
type redirection struct {
	kind RefusalKind // Moved or Ask
	slot int         // less than hashring.Slots
	addr string      // "host:port" over TCP
}

// longestAddr bounds an address that a server may name: a DNS name and a port.
const longestAddr = 255 + 1 + 5

// readRedirection reads "-MOVED 3999 host:port\r\n" or "-ASK ...". ok is false if the
// slot or the address is not valid. The host may be empty or "?", which stand for the
// host of the server that says so.
func readRedirection(reply []byte) (r redirection, ok bool) {
	if r.kind = RefusalOf(reply); r.kind != Moved && r.kind != Ask {
		return r, false
	}
	fields := bytes.Fields(reply)
	if len(fields) < 3 || len(fields[2]) > longestAddr {
		return r, false
	}
	slot, err := strconv.ParseUint(string(fields[1]), 10, 16)
	if err != nil || slot >= hashring.Slots {
		return r, false
	}
	host, port, err := net.SplitHostPort(unbracket(string(fields[2])))
	if err != nil {
		return r, false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return r, false
	}
	r.slot, r.addr = int(slot), net.JoinHostPort(host, port)
	return r, true
}

// redirection reads the reply of a shard's server, with the address as the proxy reaches
// it. ok is false for what can't be followed: any redirection in a pool without slots,
// and one to a primary beyond maxShards.
func (l *Local) redirection(sh *localShard, reply []byte) (r redirection, ok bool) {
	r, ok = readRedirection(reply)
	if !ok || !l.Map().Slotted() {
		return r, false
	}
	host, port, _ := net.SplitHostPort(r.addr)
	if host == "" || host == "?" {
		if sh.primary == nil {
			return r, false
		}
		if host, _, _ = net.SplitHostPort(sh.primary.addr); host == "" {
			return r, false
		}
	}
	r.addr = l.Conf().MapAddr(net.JoinHostPort(host, port))
	l.mu.Lock()
	defer l.mu.Unlock()
	return r, l.roomFor("", r.addr)
}

// unbracket adds the brackets around the host of an IPv6 address, which a Cluster leaves
// out: "::1:7000" is port 7000 of ::1.
func unbracket(addr string) string {
	for i := len(addr) - 1; i >= 0; i-- {
		if addr[i] != ':' {
			continue
		}
		if host := addr[:i]; len(host) > 0 && host[0] != '[' && slices.Contains([]byte(host), ':') {
			return net.JoinHostPort(host, addr[i+1:])
		}
		break
	}
	return addr
}

// handleMoved follows -MOVED: from now on the slot belongs to the other server.
func (l *Local) handleMoved(from *localShard, rt *retry, reply []byte) bool {
	r, ok := l.redirection(from, reply)
	if !ok {
		return rt.endProbe()
	}
	to := l.learn(r)
	l.suspect(from, MovedSlot)
	rt.proveServer()
	from.followScripts(r)
	rt.shard, rt.placedBy = to, l.Map()
	if to.allHeld && len(to.parked) > 0 {
		return rt.park() || rt.endProbe() // behind those that came back before
	}
	rt.send()
	return true
}

// handleAsk follows -ASK, for this request alone.
func (l *Local) handleAsk(from *localShard, rt *retry, reply []byte) bool {
	r, ok := l.redirection(from, reply)
	if !ok {
		return rt.endProbe()
	}
	rt.proveServer()
	l.sawSlotsMove()
	to := l.learn(r)
	rt.sendAsking(rt.conns.connsTo(to.index)[rt.conn])
	return true
}

// Redirect returns where to send a request again that a shard refused with reply, over a
// dedicated connection: to which shard, whether behind ASKING, and after which time. A
// script's reply counts only as far as handleScriptRefusal says.
func (l *Local) Redirect(shard int, reply []byte, script bool) (to int, asking bool, wait time.Duration) {
	sh := l.shards[shard]
	l.countRefusal(RefusalOf(reply))
	r, ok := l.redirection(sh, reply)
	if !ok {
		if RefusalOf(reply) == Demoted {
			l.suspect(sh, DemotedPrimary)
		}
		return shard, false, retryEvery
	}
	if r.kind == Moved {
		l.suspect(sh, MovedSlot)
	}
	if script {
		if to := l.knownTarget(sh, reply); to != nil {
			return to.index, r.kind == Ask, 0
		}
		return shard, false, retryEvery
	}
	return l.learn(r).index, r.kind == Ask, 0
}
