package pool

import (
	"bytes"
	"net"
	"slices"
	"strconv"

	"ringway/hashring"
)

// redirection is what -MOVED or -ASK says: which slot is, or may be, another
// server's. It comes from the network, so there is one way to make one, which
// has checked it: Local.redirection.
type redirection struct {
	kind RefusalKind // Moved or Ask
	slot int         // a hash slot that there is
	addr string      // "host:port" over TCP
}

// longestAddr bounds what a server may name: a name of DNS and a port.
const longestAddr = 255 + 1 + 5

// readRedirection reads "-MOVED 3999 host:port\r\n" and its like. It reports
// false for whatever names no slot that there is, or no address. The host may be
// empty or "?": then it is that of the server which says so.
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

// redirection reads the reply of a shard's server, with the address as the proxy
// reaches it. It reports false for what can't be followed: in a pool without
// slots nothing can, nor can a primary too many.
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
	r.addr = l.conf.MapAddr(net.JoinHostPort(host, port))
	l.mu.Lock()
	defer l.mu.Unlock()
	return r, l.roomFor("", r.addr)
}

// unbracket puts the host of an IPv6 address in brackets, which Cluster leaves
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
