package session

import "ringway/stats"

// When a callback panics, its loop closes the connection whose event it was handling and goes
// on with the others (docs/adr/0029-panics.md). Then Abandon is called on what has panicked:
// a session, or the Receiver whose Reply or Fail was being called. Most of these close the
// client, which would otherwise wait for a reply for ever. Each new Receiver needs an Abandon.

// Abandon implements eventloop.Abandoner. It closes the client, if it is still connected.
func (s *session) Abandon() {
	if s != nil && s.conn != nil && s.conn.Open() {
		s.closeFor(stats.ClosedBug)
	}
}

func (rw *replicaWait) Abandon()    { rw.s.Abandon() }
func (w *shardsWait) Abandon()      { w.s.Abandon() }
func (p *part) Abandon()            { p.tx.s.Abandon() }
func (c *watchCheck) Abandon()      { c.e.s.Abandon() }
func (g *gather) Abandon()          { g.s.Abandon() }
func (p *serverPing) Abandon()      { p.s.Abandon() }
func (a *exclusive) Abandon()       { a.s.Abandon() }
func (h *evalsha) Abandon()         { h.s.Abandon() }
func (r *publishCount) Abandon()    { r.s.Abandon() }
func (x *merged) Abandon()          { x.s.Abandon() }
func (sc *scan) Abandon()           { sc.s.Abandon() }
func (f *fanout) Abandon()          { f.s.Abandon() }
func (r *infoRequest) Abandon()     { r.s.Abandon() }
func (e *dedicatedSwitch) Abandon() { e.s.Abandon() }
func (b *broadcast) Abandon()       { b.s.Abandon() }
func (c *slotCheck) Abandon()       { c.s.Abandon() }
func (d *dryRun) Abandon()          { d.unanswered() } // refuses the requests that wait for it
func (r *unblockRequest) Abandon()  { r.home.loop.Post(r.s.Abandon) }
func (m markerReply) Abandon()      { m.c.l.s.Abandon() }
func (p *busyProbe) Abandon()       { delete(p.conditions.probing, p.server) }
