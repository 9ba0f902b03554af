package session

import (
	"slices"

	"ringway/handover"
)

// A client that tracks goes to another process like any other one: it is not listened for while it is on its way,
// and told to drop what it has cached when it has arrived, as after the loss of a connection to a server. So
// none of what it has read has to go along. A client in MONITOR is shown the requests of the process that it is in.

// record returns what another process has to know of the tracking.
func (t *tracking) record() *handover.Tracking {
	r := &handover.Tracking{BCast: t.bcast, OptIn: t.optin, OptOut: t.optout, NoLoop: t.noloop, Caching: t.caching}
	for _, p := range t.prefixes {
		r.Prefixes = append(r.Prefixes, []byte(p))
	}
	return r
}

// endListening ends what the session sends its client unasked, but for subscriptions: CLIENT TRACKING and MONITOR.
func (s *session) endListening() {
	s.endMonitor()
	s.untrack()
	s.updatePolicy()
}

// listenAgain goes on with what endListening has ended, here or in another process, whose record is r.
func (s *session) listenAgain(r *handover.Record) {
	if r.Tracking != nil {
		s.trackAgain(r.Tracking)
	}
	if s.toldFailover && !s.failingOver {
		s.tellFailover(false) // it has ended, or is not known here
	}
	if r.Monitor {
		s.beginMonitor(func() {})
	}
}

// trackAgain has the client track again, and tells it to drop what it has cached. Until all shards are listened to,
// what it reads is invalidated at once.
func (s *session) trackAgain(r *handover.Tracking) {
	t := &tracking{s: s, confirmed: true, bcast: r.BCast, optin: r.OptIn, optout: r.OptOut, noloop: r.NoLoop, caching: r.Caching}
	for _, p := range r.Prefixes {
		t.prefixes = append(t.prefixes, string(p))
	}
	tr := s.tracker
	s.tracking = t
	s.updatePolicy()
	tr.clients[t] = struct{}{}
	tr.subscriptions.Track(tr)
	left := slices.Clone(t.prefixes)
	s.w.inPortions(func() (done bool) {
		if t.s == nil {
			return true
		}
		n := min(portion, len(left))
		for _, p := range left[:n] {
			tr.prefixes.add(t, p)
		}
		if left = left[n:]; len(left) > 0 {
			return false
		}
		t.invalidate(nil)
		return true
	})
}
