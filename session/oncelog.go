package session

import (
	"bytes"
	"log/slog"
	"sync"

	"ringway/resp"
)

// logOnce logs what is worth one line for each pool or server in the process's life, however often it
// happens: a mistake in somebody's configuration. What may repeat is bounded by the process's log
// (internal/logqueue.Limit). Any loop may use it.
type logOnce struct {
	log    *slog.Logger
	logged sync.Map // a set of strings: what was logged
}

// first reports whether this is its first call with what.
func (o *logOnce) first(what string) bool {
	_, done := o.logged.LoadOrStore(what, true)
	return !done
}

// wrongProtocol logs, once for each pool, what to set when clients send TLS or the PROXY
// protocol: somebody has configured them, or a load balancer in front, to do so. err is the
// parser's.
func (o *logOnce) wrongProtocol(pool string, err error) {
	var message string
	switch err {
	case resp.ErrPROXY:
		message = "clients closed: they send the PROXY protocol, which the pool does not expect; give it proxy_protocol_from with the networks of the load balancers, or turn it off there (send-proxy, send-proxy-v2, proxy_protocol)"
	case resp.ErrTLS:
		message = "clients closed: they send TLS, and the pool speaks none; give it tls = { cert = …, key = … }, or have them send plain text"
	default:
		return
	}
	if o.first(pool + " " + err.Error()) {
		o.log.Warn(message, "pool", pool)
	}
}

// staysSubscribed logs, once for each pool, that subscribers do not move in an upgrade.
func (o *logOnce) staysSubscribed(pool, why string) {
	if o.first(pool + " subscribers stay") {
		o.log.Warn("subscribers stay until they are drained: the marker that tells which process delivers what does not pass; "+
			"permit the pool's user to SUBSCRIBE and PUBLISH at the servers on channels that begin with "+markerPrefix+" (ACL rules +subscribe +publish &"+markerPrefix+"*)",
			"pool", pool, "why", why)
	}
}

// refusedMerging logs, once for each server, that its SETs are sent one by one. reply is
// what the server said to MSET.
func (o *logOnce) refusedMerging(pool, server string, reply []byte) {
	if o.first(pool + " " + server) {
		o.log.Info("server takes no MSET: SETs are sent to it one by one; see merge_sets",
			"pool", pool, "server", server, "reply", string(bytes.TrimSpace(reply)))
	}
}
