package server

import (
	"crypto/tls"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/session"
	"ringway/tlsconn"
)

// A pool with TLS has its clients' handshakes made by tlsconn.Handshakes, on goroutines; then the
// sockets go to the loops like any others. Certificates are read again when their files change and
// by a Reload, off the loops. What can't be used never takes the place of what can.

// certificates are the files of a pool's TLS as they were read last.
type certificates struct {
	conf    *conf.ClientTLS
	stamp   string      // of the files, when they were looked at
	config  *tls.Config // of the last files that could be used
	expires time.Time   // when the certificate in use does
	broken  string      // why those there are now can't be used; "" if they can
}

// loadCertificates reads the files of a table.
func loadCertificates(t *conf.ClientTLS) *certificates {
	c := &certificates{conf: t, stamp: t.Stamp()}
	config, err := t.Load()
	if err != nil {
		c.broken = err.Error()
		return c
	}
	c.config, c.expires = config, config.Certificates[0].Leaf.NotAfter
	return c
}

// refreshTLS makes the listener follow the settings of its pool and, if anything about them has changed,
// the files. Any goroutine may call it; calls must not overlap for one listener.
func (ln *listener) refreshTLS() error {
	t, now := ln.pool.Conf().ClientTLS, ln.tls.Load()
	switch {
	case t == nil:
		ln.tls.Store(nil)
		return nil
	case now != nil && now.conf == t && now.stamp == t.Stamp():
		return nil
	}
	next, log := loadCertificates(t), ln.srv.log.With("pool", ln.pool.Conf().Name)
	if next.broken != "" {
		err := fmt.Errorf("pool %q: tls %s", ln.pool.Conf().Name, next.broken)
		if now == nil {
			return err
		}
		if now.broken != next.broken {
			log.Error("certificate not replaced: the files can't be used, and clients go on with the one that was read before", "err", next.broken, "expires", now.expires)
		}
		next.config, next.expires = now.config, now.expires
		ln.tls.Store(next)
		return err
	}
	ln.tls.Store(next)
	if now != nil && (now.stamp != next.stamp || !reflect.DeepEqual(now.conf, t)) {
		log.Info("certificate replaced", "subject", next.config.Certificates[0].Leaf.Subject.String(), "expires", next.expires)
	}
	return nil
}

// refreshEvery is how often the files of certificates are looked at.
const refreshEvery = time.Second

// watchCertificates has all listeners follow their files until stop is closed.
func (srv *Server) watchCertificates(stop <-chan struct{}) {
	again := time.NewTicker(refreshEvery)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			srv.reloading.Lock()
			for _, ln := range srv.now().served() {
				ln.refreshTLS()
			}
			srv.reloading.Unlock()
		case <-stop:
			return
		}
	}
}

// handshakes counts the handshakes of a pool's clients.
type handshakes struct {
	done   atomic.Uint64
	failed [tlsconn.Reasons]atomic.Uint64
}

// shakeHands has hands shaken with a client that was counted, and then places it.
func (ln *listener) shakeHands(s eventloop.Socket, config *tls.Config, c arrived) {
	ln.srv.handshakes.Start(tlsconn.Client{FD: s.FD, Input: s.Input, Config: config}, func(r tlsconn.Result) {
		if r.Err != nil {
			ln.noteFailedHandshake(r.Err, c)
			ln.gone(c)
			return
		}
		ln.handshakes.done.Add(1)
		c.user = certifiedUser(&r.State, ln.pool.Conf().TLSUser)
		ln.place(r.Socket, c)
	})
}

// SpeakTLS implements session.Host.
func (srv *Server) SpeakTLS(c session.Client) {
	ln := srv.now().listeners[c.Pool]
	if t := ln.tls.Load(); t != nil {
		ln.shakeHands(c.Socket, t.config, arrived{addr: c.Addr, local: c.Local, network: c.Network, again: true})
		return
	}
	c.Socket.Close() // a reload has ended TLS meanwhile
	ln.gone(arrived{network: c.Network})
}

// certifiedUser returns what a client's certificate has of a kind: conf.UserCN, say. It is "" if there is none, more than one, or no
// certificate that was verified.
func certifiedUser(state *tls.ConnectionState, kind string) string {
	if len(state.VerifiedChains) == 0 {
		return ""
	}
	switch cert := state.PeerCertificates[0]; {
	case kind == conf.UserCN:
		return cert.Subject.CommonName
	case kind == conf.UserURI && len(cert.URIs) == 1:
		return cert.URIs[0].String()
	case kind == conf.UserDNS && len(cert.DNSNames) == 1:
		return cert.DNSNames[0]
	}
	return ""
}

// noteFailedHandshake counts why a client's handshake has failed, and logs it unless clients
// just left, as health checks do.
func (ln *listener) noteFailedHandshake(err error, c arrived) {
	reason := tlsconn.ReasonOf(err)
	ln.handshakes.failed[reason].Add(1)
	level := ln.srv.log.Warn
	if reason == tlsconn.Closed || ln.srv.Draining() {
		level = ln.srv.log.Debug
	}
	level("client closed: TLS handshake failed", "pool", ln.pool.Conf().Name, "client", c.addr, "reason", reason.String(), "err", err)
}

// TLSFigures is what is known of TLS with a pool's clients.
type TLSFigures struct {
	Handshakes uint64       // that succeeded
	Failed     []TLSFailure // for each reason
	Expires    time.Time    // when the certificate in use does
	Broken     bool         // the files can't be used now
}

// TLSFailure is how many handshakes have failed for a reason, such as "timeout".
type TLSFailure struct {
	Reason string
	Count  uint64
}

// tlsFigures returns nil for a pool without TLS.
func (ln *listener) tlsFigures() *TLSFigures {
	t := ln.tls.Load()
	if t == nil {
		return nil
	}
	f := &TLSFigures{Handshakes: ln.handshakes.done.Load(), Expires: t.expires, Broken: t.broken != ""}
	for i := range ln.handshakes.failed {
		f.Failed = append(f.Failed, TLSFailure{tlsconn.Reason(i).String(), ln.handshakes.failed[i].Load()})
	}
	return f
}
