package server

import (
	"log/slog"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pool"
	"ringway/resp"
)

// worker is what the sessions of one event loop share. It belongs to the loop.
type worker struct {
	// Static after construction.
	server *Server
	loop   *eventloop.Loop
	log    *slog.Logger
	conf   *conf.Proxy
	limits resp.Limits

	locals     map[string]*pool.Local   // by the pool's name
	unrest     map[string]*unrest       // by the pool's name
	scripts    map[string]*scriptMemory // by the pool's name
	trackers   map[string]*tracker      // by the pool's name
	learnt     map[string]*learnt       // by the pool's name
	mergers    map[string]*merger       // by the pool's name; nil where SETs are not merged
	logins     map[string]*logins       // by the pool's name
	rights     rights
	sessions   []*session
	leaving    []*session            // at their end; those that are closed are taken out with the next tick
	chores     []chore               // what is too much for one turn
	choring    bool                  // doChores will be called, or is at work
	effort     int                   // what replies of the proxy's own have cost in this run of a session
	publishers map[*session]struct{} // that wait to publish

	// Scratch.
	parser  resp.RequestParser
	row     row                // of the requests, or of the keys of one, that are being placed
	again   resp.RequestParser // for requests that are sent again
	scratch []byte             // replies made by the proxy
	failure []byte             // replies to failed requests, made while scratch may be in use
	inline  []byte             // inline requests, encoded as servers like them
	keys    []int              // positions of a request's keys
	partOf  []int16            // for each place, its part of the request that is being split, else -1
	joining [][]byte           // scratch of fanout.coalesce
	fanouts []*fanout          // finished, for reuse
	hashed  []*hashed          // finished, for reuse
	rings   spareLines         // given back, for reuse
	stalled []int              // servers that let this loop wait

	tight     bool // the process holds much: clients with anything waiting are not read
	told      told
	lastLarge int64 // when a large reply last came, as eventloop.Loop.Now
	long      longTurns

	tick      *eventloop.Timer
	ticks     int
	busyTicks int // in a row, so far, in which the loop was too busy
	draining  bool
	drained   bool
	unblocked map[*session]int64 // draining: since when servers are asked to unblock sessions
}

const (
	tickEvery = 100 * time.Millisecond
	trimTicks = 20
)

func newWorker(srv *Server, loop *eventloop.Loop) *worker {
	proxy := &srv.conf.Proxy
	w := &worker{
		server: srv, loop: loop, log: srv.log, conf: proxy,
		limits: resp.Limits{
			MaxBulk: proxy.MaxBulk, MaxArgs: proxy.MaxArgs, MaxRequest: proxy.MaxRequest,
			MaxInline: resp.DefaultLimits.MaxInline,
		},
		publishers: map[*session]struct{}{},
		locals:     map[string]*pool.Local{},
		unrest:     map[string]*unrest{},
		scripts:    map[string]*scriptMemory{}, trackers: map[string]*tracker{}, learnt: map[string]*learnt{}, mergers: map[string]*merger{}, logins: map[string]*logins{}, rights: rights{},
		scratch:   make([]byte, 0, 1<<10),
		failure:   make([]byte, 0, 256),
		lastLarge: -2 * lately, // never
	}
	for _, p := range srv.pools {
		w.locals[p.Conf().Name] = w.join(p)
		w.mergers[p.Conf().Name] = newMerger(w.locals[p.Conf().Name])
		w.unrest[p.Conf().Name] = newUnrest(loop)
		w.logins[p.Conf().Name] = newLogins(w.locals[p.Conf().Name])
		w.scripts[p.Conf().Name] = newScriptMemory()
		w.trackers[p.Conf().Name] = newTracker(w, w.locals[p.Conf().Name])
	}
	loop.OnMoved(w.tellMemory)
	loop.OnLongTurn(w.onLongTurn)
	w.tick = loop.NewTimer(w.onTick)
	w.tick.After(tickEvery)
	return w
}

// join makes the worker's part of a pool.
func (w *worker) join(p *pool.Pool) *pool.Local {
	var local *pool.Local
	local = p.NewLocal(w.loop, func(m *pool.Map, requests []byte) (int, bool) { return w.ownerOf(local, m, requests) })
	local.SetReads(w.onlyReads)
	local.SetOnJoined(func() { w.joined(true) })
	local.SetOnLate(func() {
		for _, s := range w.sessionsOf(p.Conf().Name) {
			s.beWary()
		}
	})
	return local
}

// adopt starts a session for a client whose socket was accepted.
func (w *worker) adopt(fd int, name string, info *clientInfo) {
	s := newSession(w, w.locals[name], info)
	s.deauthenticate()
	if w.draining || !w.attach(s, fd) {
		eventloop.CloseFD(fd)
		s.takeLanes(nil)
		w.server.left(name)
	}
}

// attach makes s one of the worker's sessions. It reports false, and leaves fd
// open, if the loop can't watch it.
func (w *worker) attach(s *session, fd int) bool {
	conn, err := w.loop.Attach(fd, s)
	if err != nil {
		w.log.Error("client refused", "client", s.info.addr, "err", err)
		return false
	}
	s.conn = conn
	s.index = len(w.sessions)
	w.sessions = append(w.sessions, s)
	return true
}

// detach takes s from the worker's sessions.
func (w *worker) detach(s *session) {
	last := len(w.sessions) - 1
	w.sessions[s.index] = w.sessions[last]
	w.sessions[s.index].index = s.index
	w.sessions[last] = nil
	w.sessions = w.sessions[:last]
}

// remove forgets a session whose connection is closed.
func (w *worker) remove(s *session) {
	w.detach(s)
	if s.leaving != nil && s.leaving.seatless {
		w.server.unseated()
	} else {
		w.server.left(s.local.Conf().Name)
	}
	w.checkDrained()
}

// sessionsOf returns the worker's sessions of a pool.
func (w *worker) sessionsOf(name string) (peers []*session) {
	for _, s := range w.sessions {
		if s.local.Conf().Name == name {
			peers = append(peers, s)
		}
	}
	return peers
}

func (w *worker) onTick() {
	w.tick.After(tickEvery)
	w.parser.Release()
	w.row = row{}
	if w.long.at != w.loop.Now() {
		w.long.of = nil
	}
	w.closeIdle()
	w.dismiss()
	if w.draining {
		w.endWaits()
	}
	w.calm()
	w.joined(false)
	w.balance()
	if w.ticks%weighTicks == 0 {
		w.weigh()
	}
	w.tellMemory()
	if w.ticks++; w.ticks%trimTicks == 0 {
		w.rings.trim()
		w.trimFanouts()
		for _, local := range w.locals {
			local.Sweep()
		}
		w.rights.forget(w.loop.Now() - int64(verdictKept))
		for _, l := range w.logins {
			l.forget(w.loop.Now())
		}
	}
}

// closeIdle closes clients to and from which nothing has gone for too long. A client
// that waits for a reply, for room or for messages, is not idle, nor is one that has
// waited a moment ago, whose reply may still be in the output, or that takes a large
// reply slowly.
func (w *worker) closeIdle() {
	limit := w.conf.ClientIdleTimeout
	if limit == 0 {
		return
	}
	now := w.loop.Now()
	oldest := now - int64(limit)
	for i := len(w.sessions) - 1; i >= 0; i-- {
		s := w.sessions[i]
		wrote := s.conn.Written()
		switch {
		case wrote != s.wrote, s.head != s.tail, s.blocked, s.sub != nil:
			s.wrote, s.lastBusy = wrote, now
		case max(s.lastActive, s.lastBusy) < oldest:
			s.close()
		}
	}
}
