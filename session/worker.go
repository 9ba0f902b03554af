package session

import (
	"log/slog"
	"time"

	"ringway/audit"
	"ringway/conf"
	"ringway/eventloop"
	"ringway/limit"
	"ringway/pool"
	"ringway/pubsub"
	"ringway/resp"
	"ringway/stats"
)

// Worker is the sessions of one event loop, of all pools, and what they share. It belongs to
// that loop: its methods must be called there, if they don't say otherwise.
type Worker struct {
	// Static after construction.
	host    Host
	logOnce *logOnce
	loop    *eventloop.Loop
	log     *slog.Logger
	audit   *audit.Log
	conf    *conf.Proxy
	limits  resp.Limits

	pools []*shared // by the index that the host gives them; nil for one that is gone

	// The sessions, and what they have begun.
	rights      rights
	shares      *shares               // of limits
	sessions    []*session            // in no order; session.index is the index here
	halfClosed  []*session            // at their end; closed ones are taken out by the next tick
	tasks       []task                // work that is too much for one turn
	tasksPosted bool                  // runTasks will be called, or is running
	effort      int                   // what the proxy's own replies have cost in this call of session.run
	publishers  map[*session]struct{} // sessions that wait to publish
	giving      *giving               // to another process; nil if there is none

	// Scratch, valid during one request, and spare objects for reuse.
	parser         resp.RequestParser
	batch          batch              // the requests, or the keys of one, that are being placed
	recent         recent             // names the last requests
	resendParser   resp.RequestParser // for requests that are sent again (parser may be in use)
	scratch        []byte             // for replies made by the proxy
	failure        []byte             // for replies to failed requests, while scratch may be in use
	inline         []byte             // for inline requests, encoded as arrays
	keys           []int              // indices of a request's keys in its arguments
	fragmentAt     []int16            // by bucket: the part of the request that is being split, or -1 (fragmentTable)
	joinScratch    [][]byte           // for fanout.coalesce
	spareFanouts   []*fanout          // finished, for reuse
	spareEvalsha   []*evalsha         // finished, for reuse
	evalRequest    []byte             // a buffer for EVAL in place of EVALSHA
	ran            int                // how many requests this call of session.run has run
	unread         int                // how many bytes the current request's client has sent behind it
	spareRings     spareRings         // of replies, given back
	stalledServers []int              // for probeStalled

	// Load.
	tight     bool  // clients for which anything waits are not read (Restrict)
	lastLarge int64 // when a large reply last came, as eventloop.Loop.Now
	long      longTurns
	sampler   stats.Sampler // of requests, for the hot keys

	// Time, and the end.
	ticks                  int           // calls of Tick
	leaving                time.Time     // when Leave was called; zero before
	leavingIn, leavingOver time.Duration // what Leave was given
	notification           int64         // number of the last notification to a client (notify)
	draining               bool
	drained                bool
	unblocking             map[*session]int64 // while draining: the sessions that servers were asked to unblock, and when
}

// trimTicks is how often trim is called, in ticks.
const trimTicks = 20

// NewWorkers returns a Worker for each loop, in their order. The loops must not run yet. The
// configuration must not be changed afterwards. host is called from all loops; log gets what
// an operator should know.
func NewWorkers(loops []*eventloop.Loop, pools []*pool.Pool, proxy *conf.Proxy, host Host, log *slog.Logger) (workers []*Worker) {
	var subscriptions []*pubsub.Pool
	for _, p := range pools {
		subscriptions = append(subscriptions, pubsub.NewPool(p, log))
	}
	logOnce := &logOnce{log: log}
	for _, loop := range loops {
		w := newWorker(loop, proxy, host, log)
		w.logOnce = logOnce
		for i, p := range pools {
			w.pools = append(w.pools, newShared(w, p, subscriptions[i], i))
		}
		workers = append(workers, w)
	}
	setPeers(workers)
	return workers
}

// newWorker returns a Worker without pools.
func newWorker(loop *eventloop.Loop, proxy *conf.Proxy, host Host, log *slog.Logger) *Worker {
	w := &Worker{
		host: host, loop: loop, log: log, audit: host.Audit(), conf: proxy,
		limits: resp.Limits{
			MaxBulk: proxy.MaxBulk, MaxArgs: proxy.MaxArgs, MaxRequest: proxy.MaxRequest,
			MaxInline: resp.DefaultLimits.MaxInline,
		},
		publishers: map[*session]struct{}{},
		rights:     rights{},
		shares:     newShares(loop),
		scratch:    make([]byte, 0, 1<<10),
		failure:    make([]byte, 0, 256),
		lastLarge:  -2 * largeReplyWindow, // long ago
	}
	loop.OnLongTurn(w.onLongTurn)
	return w
}

// eachPool calls fn for each pool.
func (w *Worker) eachPool(fn func(sh *shared)) {
	for _, sh := range w.pools {
		if sh != nil {
			fn(sh)
		}
	}
}

// pool returns what the sessions of a pool share, by its index; nil if there is none, any more or yet.
func (w *Worker) pool(index int) *shared {
	if index >= len(w.pools) {
		return nil
	}
	return w.pools[index]
}

// Len returns how many sessions there are.
func (w *Worker) Len() int { return len(w.sessions) }

// Client is a client that was accepted.
type Client struct {
	Socket  eventloop.Socket // belongs to the session from Adopt on
	Pool    int              // its pool's index in the configuration
	ID      uint64           // unique in the process, from 1
	Addr    string           // the client's address
	Local   string           // the address that it has connected to
	Network *limit.Group     // the clients of its network, as one of which it is counted; nil if there are no limits
	User    string           // the user that its certificate names, as the pool's tls_user says; "" if none does
	Again   bool             // it was adopted before, and Host.SpeakTLS was called for it
}

// Adopt starts a session for a client. The client must be counted already: Host.Left is called when it is
// gone, or if it can't be served.
func (w *Worker) Adopt(c Client) {
	s := newSession(w.pools[c.Pool], &clientInfo{id: c.ID, addr: c.Addr, local: c.Local, certified: c.User, since: time.Now()})
	s.network = c.Network
	s.requireAuth()
	s.updateLimits()
	if s.stats != nil && !c.Again {
		s.stats.Clients.Connected++
	}
	if w.draining || !w.attach(s, c.Socket) {
		c.Socket.Close()
		s.setUser(s.proxyUser, nil)
		s.useConns(nil)
		s.left()
		return
	}
	if s.isTooMany() {
		s.audit(nil, s.userName(), audit.TooManyClients)
		s.closeReason = stats.ClosedLimit
		s.closeWithReply([]byte("-" + TooMany + "\r\n"))
	}
}

// attach makes s one of the worker's sessions. It reports false, and leaves its client's socket
// open, if the loop can't watch that.
func (w *Worker) attach(s *session, socket eventloop.Socket) bool {
	conn, err := w.loop.AttachSocket(socket, s)
	if err != nil {
		w.log.Error("client refused", "client", s.info.addr, "err", err)
		return false
	}
	s.conn, s.replies.conn = conn, conn
	if s.budget != nil {
		s.budget.written = 0
	}
	if s.stats != nil {
		conn.CountWritten(&s.stats.Clients.BytesOut)
	}
	s.index = len(w.sessions)
	w.sessions = append(w.sessions, s)
	return true
}

// detach takes s out of the worker's sessions. The last session takes its index.
func (w *Worker) detach(s *session) {
	last := len(w.sessions) - 1
	s.dropBudget() // it belongs to the loop
	w.sessions[s.index] = w.sessions[last]
	w.sessions[s.index].index = s.index
	w.sessions[last] = nil
	w.sessions = w.sessions[:last]
}

// remove takes out a session whose connection is closed, and has the host count its client
// out.
func (w *Worker) remove(s *session) {
	w.detach(s)
	if s.halfClosed != nil && s.halfClosed.uncounted {
		s.leaveGroups()
		w.host.UncountedLeft()
	} else {
		s.left()
	}
	w.checkDrained()
}

// TickEvery is how often Tick is to be called.
const TickEvery = 100 * time.Millisecond

// Tick does the regular work of all sessions: it closes idle clients and those at their end
// that have waited too long, ends pauses, and frees memory.
func (w *Worker) Tick() {
	w.parser.Release()
	w.batch = batch{}
	if w.long.turn != w.loop.Now() {
		w.long.session = nil
	}
	w.closeIdle()
	w.closeHalfClosed()
	if w.draining {
		w.closeDue()
	}
	w.tellLeaving()
	if w.giving != nil {
		w.giving.tick()
	}
	w.eachPool((*shared).tick)
	w.sampler.Tick()
	w.shares.tick()
	w.resumePublishers(false)
	if w.ticks++; w.ticks%trimTicks == 0 {
		w.trim()
	}
}

// trim frees a part of the spare objects, and what is remembered but out of date.
func (w *Worker) trim() {
	w.spareRings.trim()
	w.trimFanouts()
	w.eachPool(func(sh *shared) {
		sh.local.Sweep()
		sh.checkWaits()
		sh.logins.dropExpired(w.loop.Now())
	})
	w.rights.forget(w.loop.Now() - int64(verdictMaxAge))
}

// closeIdle closes clients that have been idle for client_idle_timeout. A client that waits
// for a reply, for room or for messages is not idle, nor is one that takes a large reply
// slowly. The time counts from the last tick at which the client was not idle, since a
// reply may have left just before it.
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
		case wrote != s.lastWritten, !s.replies.idle(), s.blocked, s.sub != nil:
			s.lastWritten, s.lastBusy = wrote, now
		case max(s.lastActive, s.lastBusy) < oldest:
			s.closeFor(stats.ClosedIdle)
		}
	}
}
