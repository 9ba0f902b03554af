package session

import (
	"cmp"
	"errors"
	"sync/atomic"
	"time"

	"ringway/command"
	"ringway/eventloop"
	"ringway/handover"
	"ringway/pool"
	"ringway/resp"
)

// A session goes to another process, which takes this one's place, as it goes to another loop: at a
// moment when nothing of it is under way. What it knows is written into a record (record), which goes there
// with the client's socket, and another session is made of that (Receive). Until the other process has
// accepted it, it can come back.

const (
	// givenAtOnce is how many sessions of a loop are on their way at a time. While one is, its client
	// waits, so they are few.
	givenAtOnce = 8
	// holdAfter is for how many ticks a session may go on without a moment when nothing of it is under
	// way, as with a client that sends before it has read. Then its requests wait until there is one.
	holdAfter = 2
	// holdFor is for how many ticks they wait at most.
	holdFor = 5
	// maxInput is how many bytes of requests that have not run go along with a session.
	maxInput = 1 << 20
)

// Departure is a session on its way to another process. Who gets it offers it there. If it is accepted,
// Accepted must be called, else Back.
type Departure struct {
	Record *handover.Record
	FD     int // the client's socket, which stays the Departure's

	// Withdrawn is set by who gets the Departure: it is called on the loop if the session stays after all,
	// and must not block. Neither Accepted nor Back is to be called then.
	Withdrawn func()

	s *session
	g *giving

	holders atomic.Int32 // of the FD of a subscriber: the session, and who sends it
}

// Sent says that the FD was sent, or won't be. Any goroutine may call it.
func (d *Departure) Sent() {
	if d.Record.Subscribed() {
		d.release()
	}
}

// release closes the FD of a subscriber when nobody needs it.
func (d *Departure) release() {
	if d.holders.Add(-1) == 0 {
		eventloop.CloseFD(d.FD)
	}
}

// giving is the hand-over of a loop's sessions. It is the destination of all of them.
type giving struct {
	w        *Worker
	to       func(*Departure)
	ended    bool
	underWay int        // sessions on their way
	queue    []*session // that are to be looked at
	since    map[*session]int
}

// Give hands the sessions over to another process, each at a moment when nothing of it is under way,
// until EndGiving. to is called on the loop with each of them; it must not block.
func (w *Worker) Give(to func(*Departure)) {
	w.giving = &giving{w: w, to: to, since: map[*session]int{}}
	for _, s := range w.sessions {
		s.movingTo = nil // not to another loop
	}
	w.giving.tick()
}

// EndGiving ends Give: the sessions that are still here stay.
func (w *Worker) EndGiving() {
	g := w.giving
	if g == nil {
		return
	}
	w.giving, g.ended = nil, true
	for _, s := range w.sessions {
		if s.sub != nil && s.sub.cut != nil && s.sub.cut.departure != nil {
			s.sub.cut.abort(false)
		}
		if s.movingTo == g {
			s.movingTo = nil
			s.letGo()
		}
		s.stays = false
	}
}

// tick looks at all sessions again: some have come since, or are no longer tied to the loop.
func (g *giving) tick() {
	g.queue = append(g.queue[:0], g.w.sessions...)
	for _, s := range g.w.sessions {
		if s.movingTo != g || s.tiedToProcess() || s.sub != nil && s.sub.cut != nil {
			continue
		}
		switch g.since[s]++; {
		case g.since[s] > holdAfter+holdFor:
			g.since[s] = 0
			s.letGo()
		case g.since[s] > holdAfter:
			s.hold()
		}
	}
	g.more()
}

// more has further sessions leave, as long as few are on their way.
func (g *giving) more() {
	for room := givenAtOnce - g.underWay; len(g.queue) > 0 && room > 0; {
		last := len(g.queue) - 1
		s := g.queue[last]
		g.queue[last] = nil
		g.queue = g.queue[:last]
		if s.stays || !s.conn.Direct() {
			s.tellMoving(reconnectSoon) // to the new process
		}
		if s.stays || !s.conn.Open() || s.closing || s.sub != nil && s.sub.cut != nil {
			continue
		}
		if s.movingTo = g; g.canTake(s) {
			room--
		}
		s.deferRun()
	}
	if len(g.queue) > 0 && g.underWay == 0 {
		g.w.loop.Post(func() {
			if !g.ended {
				g.more()
			}
		})
	}
}

// hold keeps the session's next requests from being run, so that a moment comes when nothing of it is
// under way. If its window is closed, such a moment comes anyway.
func (s *session) hold() {
	if !s.held && s.window != 0 && !s.serial && s.conn.Unread() <= maxInput/2 {
		s.held = true
		s.closeWindow()
	}
	s.deferRun()
}

// letGo ends hold.
func (s *session) letGo() {
	if s.held {
		s.held = false
		s.resume()
	}
}

// canTake is destination's.
func (g *giving) canTake(s *session) bool {
	return s.replies.idle() && s.conn.Waiting() == 0 && s.halfClosed == nil && !s.closing && !s.tiedToProcess() && s.pendingWakeups == 0 &&
		s.conn.Direct() && s.conn.Unread() <= maxInput && (s.window != 0 || s.held) && !g.w.tasksPosted &&
		(s.sub == nil || g.canCut(s.sub)) && (s.tracking == nil || len(s.tracking.delayed) == 0) && s.outOfBand == nil
}

// take is destination's.
func (g *giving) take(s *session) {
	if s.announced != nil {
		s.announced()
		s.announced = nil
	}
	delete(s.w.publishers, s)
	delete(s.conditions.pauseWaiters, s)
	delete(g.since, s)
	if s.sub != nil && s.sub.total() > 0 {
		g.takeSubscriber(s)
		return
	}
	d := &Departure{Record: s.record(), s: s, g: g}
	s.endListening()
	d.Record.Input = s.conn.TakeUnread()
	d.FD = s.conn.Detach().FD // it is direct
	g.w.detach(s)
	s.useConns(nil)
	g.underWay++
	g.to(d)
}

// tiedToProcess reports whether the session has something that can't go to another process and that only the
// client ends.
func (s *session) tiedToProcess() bool {
	return s.dedicated != nil || s.otherWatches != nil || s.tx != nil || s.redirectsHere != 0 || s.tracking != nil && s.tracking.redirect != nil
}

// Accepted goes on with the departure: the other process can serve the client. give gives it the client, with
// requests that have not run; it may block, and is called once on a goroutine of its own. It returns ErrTakenBack if
// the client is not to be given any more. Any goroutine may call
// Accepted, which does not wait.
func (d *Departure) Accepted(give func(input []byte) error) {
	if d.Record.Subscribed() {
		d.g.w.loop.Post(func() { d.s.cutAccepted(d, give) })
		return
	}
	go func() {
		switch err := give(nil); {
		case err == nil:
			d.g.w.loop.Post(d.left)
		case !errors.Is(err, ErrTakenBack):
			d.Back(false)
		}
	}()
}

// ErrTakenBack says that a client is not given since it was taken back before, with Back or Withdrawn.
var ErrTakenBack = errors.New("the client stays")

// left ends the departure: the other process has the client.
func (d *Departure) left() {
	s := d.s
	eventloop.CloseFD(d.FD)
	s.setUser(s.proxyUser, nil)
	s.left()
	d.over()
}

// Back ends the departure: the client stays here. With forGood it is not offered again. Any goroutine
// may call it.
func (d *Departure) Back(forGood bool) {
	d.g.w.loop.Post(func() {
		s := d.s
		if d.Record.Subscribed() {
			s.endCut(d, forGood)
			return
		}
		s.stays, s.held, s.blocked, s.parse = forGood, false, false, resp.RequestState{}
		s.openWindow()
		if s.enter(eventloop.Socket{FD: d.FD}) {
			s.listenAgain(d.Record)
			s.present(d.Record.Input)
		}
		d.over()
	})
}

func (d *Departure) over() {
	if d.g.underWay--; !d.g.ended {
		d.g.more()
	}
}

// present runs the requests that had not run when the session left its loop.
func (s *session) present(input []byte) {
	s.conn.PutUnread(input)
	s.conn.Redeliver()
}

// record returns what the session knows, but for its unread input.
func (s *session) record() *handover.Record {
	i := s.info
	r := &handover.Record{
		Version: handover.RecordVersion, Pool: s.poolName, Loop: s.w.index(),
		ID: i.id, Addr: i.addr, Local: i.local, Since: i.since.UnixNano(), Idle: max(0, s.w.loop.Now()-s.lastActive),
		Name: i.name, Lib: i.lib, LibVer: i.ver, NoEvict: i.noEvict, NoTouch: i.noTouch,
		WantAuth: s.wantAuth, AuthFailures: s.authFailures, DB: s.db, RESP3: s.protocol == resp.RESP3,
		ReplyUsed: s.replyModeUsed, ReplyOff: s.replyOff, ReplySkip: s.replySkip, Muting: s.muting,
	}
	if s.proxyUser != nil {
		r.ProxyUser = s.proxyUser.Name
	}
	if s.tracking != nil {
		r.Tracking = s.tracking.record()
	}
	r.Monitor, r.MaintNotices, r.ToldFailover = s.monitor != nil, s.notices, s.toldFailover
	if s.isServersUser() {
		r.User = &handover.User{Name: []byte(s.user.Name), Password: []byte(s.user.Password)}
	}
	if s.lastCommand > 0 {
		r.Command = command.ByID(int(s.lastCommand) - 1).Name
	}
	return r
}

// index returns the worker's index among those of the process.
func (w *Worker) index() int {
	for _, sh := range w.pools {
		if sh == nil {
			continue
		}
		for i, peer := range sh.peers {
			if peer == sh {
				return i
			}
		}
	}
	return 0
}

// Receive goes on with a session of another process, whose client's socket is fd. user is its ACL
// user, acquired from its pool for it, or nil. As for Adopt, the client must be counted already.
func (w *Worker) Receive(fd, index int, r *handover.Record, user *pool.User) {
	s := w.sessionOf(index, r, user)
	if s.enter(eventloop.Socket{FD: fd}) {
		s.lastActive = w.loop.Now() - r.Idle
		s.listenAgain(r)
		s.present(r.Input)
	}
}

// sessionOf returns the session of a record, without a connection to its client yet.
func (w *Worker) sessionOf(index int, r *handover.Record, user *pool.User) *session {
	s := newSession(w.pools[index], &clientInfo{
		id: r.ID, addr: r.Addr, local: r.Local, since: time.Unix(0, r.Since),
		name: r.Name, lib: r.Lib, ver: r.LibVer, noEvict: r.NoEvict, noTouch: r.NoTouch,
	})
	s.db, s.authFailures = r.DB, r.AuthFailures
	switch u := s.local.Conf().Users.Named(r.ProxyUser); {
	case user != nil:
		s.setUser(nil, user)
	case u != nil:
		s.setUser(u, s.serverUser(u))
	}
	s.replyModeUsed, s.replyOff, s.replySkip, s.muting = r.ReplyUsed, r.ReplyOff, r.ReplySkip, r.Muting
	s.notices, s.toldFailover = r.MaintNotices, r.ToldFailover
	if r.RESP3 {
		s.protocol = resp.RESP3
	}
	if r.WantAuth || s.userName() != cmp.Or(r.ProxyUser, s.userName()) {
		s.requireAuth() // the pool may have no password any more, or the user may just have gone
	}
	s.updateLimits()
	if cmd := command.ByName(r.Command); cmd != nil {
		s.lastCommand = uint16(cmd.ID) + 1
	}
	return s
}

// KindsInUse is pool.Local's, for a pool by its index.
func (w *Worker) KindsInUse(index int) (kinds []pool.Kind) {
	if sh := w.pool(index); sh != nil {
		kinds = sh.local.KindsInUse()
	}
	return kinds
}

// Preconnect is pool.Local's, for a pool by its index.
func (w *Worker) Preconnect(index int, k pool.Kind) (pending int) {
	if sh := w.pool(index); sh != nil {
		pending = sh.local.Preconnect(k)
	}
	return pending
}
