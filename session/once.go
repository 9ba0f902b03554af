package session

import (
	"bytes"
	"log/slog"
	"sync"

	"ringway/resp"
)

// once is what was logged, and is not to be again. Any loop may use it.
type once struct {
	log    *slog.Logger
	logged sync.Map // of texts
}

// first reports whether it is called for the first time with what.
func (o *once) first(what string) bool {
	_, done := o.logged.LoadOrStore(what, true)
	return !done
}

// hint logs, once for each pool, what to set when clients speak something else than
// Redis's protocol because somebody has set it so.
func (o *once) hint(pool string, err error) {
	var message string
	switch err {
	case resp.ErrPROXY:
		message = "clients closed: what is in front speaks the PROXY protocol, which is not understood here; turn it off there (send-proxy, send-proxy-v2, proxy_protocol)"
	case resp.ErrTLS:
		message = "clients closed: they speak TLS, which is not understood here; have them speak plain text, or end TLS in front"
	default:
		return
	}
	if o.first(pool + " " + err.Error()) {
		o.log.Warn(message, "pool", pool)
	}
}

// refusedMerging logs, once for each server, that its SETs are sent one by one.
func (o *once) refusedMerging(pool, server string, reply []byte) {
	if o.first(pool + " " + server) {
		o.log.Info("server takes no MSET: SETs are sent to it one by one; see merge_sets",
			"pool", pool, "server", server, "reply", string(bytes.TrimSpace(reply)))
	}
}
