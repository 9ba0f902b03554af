package session

// A panic in what a loop calls costs the connection whose event was handled, and
// no other; see docs/adr/0029-panics.md. Abandon, of a session and of all who
// receive replies for one, ends the client that would wait for ever otherwise.

// Abandon is eventloop.Abandoner's.
func (s *session) Abandon() {
	if s != nil && s.conn != nil && s.conn.Open() {
		s.close()
	}
}

func (rw *replicaWait) Abandon() { rw.s.Abandon() }
func (tx *transaction) Abandon() { tx.s.Abandon() }
func (g *gathering) Abandon()    { g.s.Abandon() }
func (a *exclusive) Abandon()    { a.s.Abandon() }
func (h *hashed) Abandon()       { h.s.Abandon() }
func (r *publishCount) Abandon() { r.s.Abandon() }
func (x *merged) Abandon()       { x.s.Abandon() }
func (sc *scan) Abandon()        { sc.s.Abandon() }
func (f *fanout) Abandon()       { f.s.Abandon() }
func (r *infoRequest) Abandon()  { r.s.Abandon() }
func (e *entering) Abandon()     { e.s.Abandon() }
func (b *broadcast) Abandon()    { b.s.Abandon() }
func (c *slotCheck) Abandon()    { c.s.Abandon() }
func (d *dryRun) Abandon()       { d.unanswered() } // those who wait are refused
func (r *unblockAsked) Abandon() { r.home.loop.Post(r.s.Abandon) }
func (p *busyProbe) Abandon()    { delete(p.conditions.asking, p.server) }
