package server

import (
	"log/slog"
	"time"

	"ringway/conf"
	"ringway/eventloop"
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

	pools      []*shared // in the order of the configuration
	rights     rights
	sessions   []*session
	leaving    []*session            // at their end; those that are closed are taken out with the next tick
	chores     []chore               // what is too much for one turn
	choring    bool                  // doChores will be called, or is at work
	effort     int                   // what replies of the proxy's own have cost in this run of a session
	publishers map[*session]struct{} // that wait to publish

	// Scratch.
	parser  resp.RequestParser
	batch   batch              // of the requests, or of the keys of one, that are being placed
	again   resp.RequestParser // for requests that are sent again
	scratch []byte             // replies made by the proxy
	failure []byte             // replies to failed requests, made while scratch may be in use
	inline  []byte             // inline requests, encoded as servers like them
	keys    []int              // positions of a request's keys
	partOf  []int16            // for each place, its part of the request that is being split, else -1
	joining [][]byte           // scratch of fanout.coalesce
	fanouts []*fanout          // finished, for reuse
	hashed  []*hashed          // finished, for reuse
	rings   spareRings         // given back, for reuse
	stalled []int              // servers that let this loop wait

	tight     bool // the process holds much: clients with anything waiting are not read
	told      told
	lastLarge int64 // when a large reply last came, as eventloop.Loop.Now
	long      longTurns

	tick      *eventloop.Timer
	ticks     int
	busyTicks int // one after the other, so far, in which the loop was too busy
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
		rights:     rights{},
		scratch:    make([]byte, 0, 1<<10),
		failure:    make([]byte, 0, 256),
		lastLarge:  -2 * lately, // never
	}
	for i, p := range srv.pools {
		w.pools = append(w.pools, newShared(w, p, srv.policies[i], i))
	}
	loop.OnMoved(w.tellMemory)
	loop.OnLongTurn(w.onLongTurn)
	w.tick = loop.NewTimer(w.onTick)
	w.tick.After(tickEvery)
	return w
}

// adopt starts a session for a client whose socket was accepted.
func (w *worker) adopt(fd int, pool int, info *clientInfo) {
	s := newSession(w.pools[pool], info)
	s.deauthenticate()
	if w.draining || !w.attach(s, fd) {
		eventloop.CloseFD(fd)
		s.takeLanes(nil)
		w.server.left(s.poolName)
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
	s.conn, s.replies.conn = conn, conn
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
		w.server.left(s.poolName)
	}
	w.checkDrained()
}

func (w *worker) onTick() {
	w.tick.After(tickEvery)
	w.parser.Release()
	w.batch = batch{}
	if w.long.at != w.loop.Now() {
		w.long.of = nil
	}
	w.closeIdle()
	w.dismiss()
	if w.draining {
		w.endWaits()
	}
	for _, sh := range w.pools {
		sh.look()
	}
	w.joined(false)
	w.balance()
	if w.ticks%weighTicks == 0 {
		w.weigh()
	}
	w.tellMemory()
	if w.ticks++; w.ticks%trimTicks == 0 {
		w.rings.trim()
		w.trimFanouts()
		for _, sh := range w.pools {
			sh.local.Sweep()
			sh.logins.forget(w.loop.Now())
		}
		w.rights.forget(w.loop.Now() - int64(verdictKept))
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
		case wrote != s.wrote, !s.replies.idle(), s.blocked, s.sub != nil:
			s.wrote, s.lastBusy = wrote, now
		case max(s.lastActive, s.lastBusy) < oldest:
			s.close()
		}
	}
}
