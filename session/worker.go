package session

import (
	"log/slog"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pool"
	"ringway/pubsub"
	"ringway/resp"
)

// Worker is the sessions of one event loop and what they share. It belongs to that loop:
// unless said otherwise its methods are called there.
type Worker struct {
	// Static after construction.
	host   Host
	once   *once
	loop   *eventloop.Loop
	log    *slog.Logger
	conf   *conf.Proxy
	limits resp.Limits

	pools       []*shared // in the order of the configuration
	rights      rights
	sessions    []*session
	halfClosed  []*session            // at their end; those that are closed are taken out with the next tick
	tasks       []task                // what is too much for one turn
	tasksPosted bool                  // doChores will be called, or is at work
	effort      int                   // what replies of the proxy's own have cost in this run of a session
	publishers  map[*session]struct{} // that wait to publish

	// Scratch.
	parser     resp.RequestParser
	batch      batch              // of the requests, or of the keys of one, that are being placed
	again      resp.RequestParser // for requests that are sent again
	scratch    []byte             // replies made by the proxy
	failure    []byte             // replies to failed requests, made while scratch may be in use
	inline     []byte             // inline requests, encoded as servers like them
	keys       []int              // positions of a request's keys
	fragmentAt []int16            // for each place, its part of the request that is being split, else -1
	joining    [][]byte           // scratch of fanout.coalesce
	fanouts    []*fanout          // finished, for reuse
	hashed     []*hashed          // finished, for reuse
	rings      spareRings         // given back, for reuse
	stalled    []int              // servers that let this loop wait

	tight     bool  // the process holds much: clients with anything waiting are not read (Restrict)
	lastLarge int64 // when a large reply last came, as eventloop.Loop.Now
	long      longTurns

	ticks     int
	draining  bool
	drained   bool
	unblocked map[*session]int64 // draining: since when servers are asked to unblock sessions
}

// trimTicks is how often what was kept for reuse is given up, in ticks.
const trimTicks = 20

// NewWorkers returns a Worker for each loop, none of which runs yet. The configuration
// must not be changed. host is told of what concerns the process.
func NewWorkers(loops []*eventloop.Loop, pools []*pool.Pool, proxy *conf.Proxy, host Host, log *slog.Logger) (workers []*Worker) {
	var policies []*policy
	var subscriptions []*pubsub.Pool
	for _, p := range pools {
		policies = append(policies, newPolicy(p.Conf()))
		subscriptions = append(subscriptions, pubsub.NewPool(p.Conf(), proxy, log))
	}
	once := &once{log: log}
	for _, loop := range loops {
		w := newWorker(loop, proxy, host, log)
		w.once = once
		for i, p := range pools {
			w.pools = append(w.pools, newShared(w, p, subscriptions[i], policies[i], i))
		}
		workers = append(workers, w)
	}
	introduce(workers)
	return workers
}

func newWorker(loop *eventloop.Loop, proxy *conf.Proxy, host Host, log *slog.Logger) *Worker {
	w := &Worker{
		host: host, loop: loop, log: log, conf: proxy,
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
	loop.OnLongTurn(w.onLongTurn)
	return w
}

// Len is how many sessions there are.
func (w *Worker) Len() int { return len(w.sessions) }

// Adopt starts a session for a client of the pool with the given index, whose socket fd,
// which is the session's from now on, was accepted. id is unique in the process, from 1;
// addr is the client's address and local the one that it connected to.
func (w *Worker) Adopt(fd, pool int, id uint64, addr, local string) {
	s := newSession(w.pools[pool], &clientInfo{id: id, addr: addr, local: local, since: time.Now()})
	s.requireAuth()
	if w.draining || !w.attach(s, fd) {
		eventloop.CloseFD(fd)
		s.useConns(nil)
		w.host.Left(s.poolIndex)
	}
}

// attach makes s one of the worker's sessions. It reports false, and leaves fd
// open, if the loop can't watch it.
func (w *Worker) attach(s *session, fd int) bool {
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
func (w *Worker) detach(s *session) {
	last := len(w.sessions) - 1
	w.sessions[s.index] = w.sessions[last]
	w.sessions[s.index].index = s.index
	w.sessions[last] = nil
	w.sessions = w.sessions[:last]
}

// remove forgets a session whose connection is closed.
func (w *Worker) remove(s *session) {
	w.detach(s)
	if s.halfClosed != nil && s.halfClosed.uncounted {
		w.host.UncountedLeft()
	} else {
		w.host.Left(s.poolIndex)
	}
	w.checkDrained()
}

// TickEvery is how often Tick is to be called.
const TickEvery = 100 * time.Millisecond

// Tick does what is to be done now and then.
func (w *Worker) Tick() {
	w.parser.Release()
	w.batch = batch{}
	if w.long.turn != w.loop.Now() {
		w.long.session = nil
	}
	w.closeIdle()
	w.closeHalfClosed()
	if w.draining {
		w.endBlocked()
	}
	for _, sh := range w.pools {
		sh.tick()
	}
	w.joined(false)
	if w.ticks++; w.ticks%trimTicks == 0 {
		w.trim()
	}
}

// trim gives up a part of what was kept for reuse, and what is known and out of date.
func (w *Worker) trim() {
	w.rings.trim()
	w.trimFanouts()
	for _, sh := range w.pools {
		sh.local.Sweep()
		sh.logins.dropExpired(w.loop.Now())
	}
	w.rights.forget(w.loop.Now() - int64(verdictKept))
}

// closeIdle closes clients to and from which nothing has gone for too long. A client
// that waits for a reply, for room or for messages, is not idle, nor is one that has
// waited a moment ago, whose reply may still be in the output, or that takes a large
// reply slowly.
func (w *Worker) closeIdle() {
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
