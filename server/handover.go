package server

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ringway/handover"
	"ringway/session"
)

// This is the side of the process that is replaced; takeover.go is that of the one which replaces it. Package
// handover shows what they say to each other.

const (
	readyWithin   = 30 * time.Second // a new process has to be ready, with its servers reached
	servingWithin = 5 * time.Second  // it has to accept clients, once it may
	movedWithin   = 3 * time.Second  // HandOver waits for clients to move; the others follow
	backWithin    = 2 * time.Second  // clients on their way come back, at the end
	restWithin    = 2 * time.Second  // those that could not move are told so, and leave
	checkEvery    = 10 * time.Millisecond
)

// Door is where operators connect: its listening socket is handed over as well. *admin.Admin and
// *admin.StatsPort are Doors. Any goroutine may call the methods.
type Door interface {
	SendListener(to *handover.Conn) error
	PauseAccepting() // until ResumeAccepting: whoever connects waits, for this process or the new one
	ResumeAccepting()
}

// handingOver is a hand-over that has come to the point where the new process accepts clients.
type handingOver struct {
	srv   *Server
	to    *handover.Successor
	doors []Door
	gone  chan struct{} // closed when the new process says no more

	paused bool // this process does not accept clients

	mu      sync.Mutex
	number  uint64                        // of the last offer
	offers  map[uint64]*session.Departure // that are under way
	moved   int                           // clients that the new process has
	refused int                           // that it does not take
}

// HandOver has a process that was started for this take this one's place: its listening sockets, and
// then its clients, each at a moment when nothing of it is under way. It returns when the new process
// accepts clients and those that could move at once have moved, with their number. The others follow,
// for drain_timeout at most; then Run returns. tookOver is called when the new process accepts clients.
//
// After an error nothing has changed, and the new process has ended. If that ends later, with the hand-over
// under way, this one accepts clients again and keeps those that it has. Any goroutine but a loop's may call
// HandOver.
func (srv *Server) HandOver(to *handover.Successor, doors []Door, tookOver func()) (moved int, err error) {
	if !srv.reloading.TryLock() {
		to.End()
		return 0, errors.New("a reload is under way")
	}
	h := &handingOver{srv: srv, to: to, doors: doors, gone: make(chan struct{}), offers: map[uint64]*session.Departure{}}
	if err := h.begin(); err != nil {
		to.End()
		h.acceptAgain()
		srv.reloading.Unlock()
		srv.UpgradeFailed()
		return 0, err
	}
	srv.log.Info("a new process has taken over and accepts clients: those that are here move to it", "pid", to.PID, "clients", srv.Clients())
	tookOver()
	go h.receive()
	for _, l := range srv.loops {
		l.Post(func() { l.sessions.Give(h.offer) })
	}
	ended := make(chan error, 1)
	go func() { ended <- h.finish() }()
	select {
	case err = <-ended:
	case <-time.After(movedWithin):
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.moved, err
}

// begin brings the new process to accept clients, in place of this one.
func (h *handingOver) begin() error {
	srv, to := h.srv, h.to
	if srv.Draining() {
		return errors.New("the proxy is being stopped")
	}
	for _, ln := range srv.now().served() {
		if ln.pauseLeft() > 0 {
			return fmt.Errorf("pool %s is paused: RESUME POOL first", ln.pool.Conf().Name)
		}
	}
	defer to.EndAt(srv.stopping)()
	if err := h.sendListeners(); err != nil {
		return err
	}
	if err := to.AwaitReady(readyWithin); err != nil {
		return err
	}
	h.paused = true
	for _, ln := range srv.now().served() {
		ln.socket.Load().KeepFile(true)
		ln.socket.Load().PauseAccepting()
	}
	for _, d := range h.doors {
		d.PauseAccepting()
	}
	srv.accepting.Wait()
	// Clients whose TLS handshake is under way get their ids later.
	if err := to.SendJSON(handover.TakeOver, handover.Takeover{LastID: srv.nextID.Load() + uint64(srv.Clients())}, -1); err != nil {
		return err
	}
	to.SetReadDeadline(time.Now().Add(servingWithin))
	defer to.SetReadDeadline(time.Time{})
	m, err := to.Receive()
	m.Close()
	if err == nil && m.Kind != handover.Serving {
		err = fmt.Errorf("it has sent message %d in place of serving", m.Kind)
	}
	return err
}

// sendListeners sends what the new process begins with.
func (h *handingOver) sendListeners() error {
	begin := handover.Beginning{Version: handover.ProtocolVersion, PID: os.Getpid()}
	for _, ln := range h.srv.now().served() {
		c, s := ln.pool.Conf(), ln.socket.Load()
		at := handover.Socket{For: poolPurpose(c.Name), Network: s.at.Network, Addr: s.at.Addr}
		if err := h.to.SendListener(at, s); err != nil {
			return err
		}
		if ln.pool.Reached() {
			begin.Reached = append(begin.Reached, c.Name)
		}
	}
	for _, d := range h.doors {
		if err := d.SendListener(h.to.Conn); err != nil {
			return err
		}
	}
	begin.Kinds = h.srv.kindsInUse()
	return h.to.SendJSON(handover.Begin, begin, -1)
}

// acceptAgain undoes begin.
func (h *handingOver) acceptAgain() {
	srv := h.srv
	if !h.paused {
		return
	}
	for _, ln := range srv.now().served() {
		s := ln.socket.Load()
		s.KeepFile(false)
		if s.ResumeAccepting(); !srv.Draining() {
			srv.accepting.Go(s.acceptAll)
		}
	}
	for _, d := range h.doors {
		d.ResumeAccepting()
	}
}

// offer offers a client to the new process. It is called on loops, and does not wait.
func (h *handingOver) offer(d *session.Departure) {
	h.mu.Lock()
	h.number++
	number := h.number
	h.offers[number] = d
	h.mu.Unlock()
	withdrawn := new(atomic.Bool)
	d.Withdrawn = func() {
		if h.takeOffer(number) != nil {
			withdrawn.Store(true)
			go h.to.Send(handover.Withdraw, handover.Numbered(number, nil), -1)
		}
	}
	go h.sendOffer(number, d, withdrawn)
}

func (h *handingOver) sendOffer(number uint64, d *session.Departure, withdrawn *atomic.Bool) {
	body, err := d.Record.Encode()
	if err == nil && h.offered(number) != nil {
		err = h.to.Send(handover.Offer, handover.Numbered(number, body), d.FD)
	}
	d.Sent()
	if err == nil && withdrawn.Load() {
		h.to.Send(handover.Withdraw, handover.Numbered(number, nil), -1) // behind the offer, this time
	}
	select {
	case <-h.gone: // receive may have taken the offers back before this one
	default:
		if err == nil {
			return
		}
	}
	if h.takeOffer(number) != nil {
		d.Back(err != nil && errors.Is(err, handover.ErrTooLarge))
	}
}

// offered returns an offer that is under way, or nil.
func (h *handingOver) offered(number uint64) *session.Departure {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.offers[number]
}

// takeOffer returns an offer that is under way, and ends it; nil if that has happened already.
func (h *handingOver) takeOffer(number uint64) *session.Departure {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.offers[number]
	delete(h.offers, number)
	return d
}

// underWay returns how many offers are under way.
func (h *handingOver) underWay() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.offers)
}

// receive receives the new process's answers until it is gone. It never waits for the other side
// to read.
func (h *handingOver) receive() {
	for {
		m, err := h.to.Receive()
		m.Close()
		number, why, errNumber := handover.CutNumber(m.Body)
		if err = errors.Join(err, errNumber); err != nil {
			break
		}
		d := h.offered(number)
		switch {
		case d == nil:
		case m.Kind == handover.Accept:
			d.Accepted(func(input []byte) error { return h.give(number, input) })
		case h.takeOffer(number) != nil:
			h.mu.Lock()
			h.refused++
			h.mu.Unlock()
			h.srv.log.Info("client stays until it is drained", "pool", d.Record.Pool, "client", d.Record.Addr, "why", string(why))
			d.Back(true)
		}
	}
	h.srv.endGiving()
	close(h.gone)
	h.takeBack()
}

// give gives the new process a client that it has accepted. Once that was said the client is its own.
func (h *handingOver) give(number uint64, input []byte) error {
	if h.takeOffer(number) == nil {
		return session.ErrTakenBack
	}
	if err := h.to.Send(handover.Yours, handover.Numbered(number, input), -1); err != nil {
		return err
	}
	h.mu.Lock()
	h.moved++
	h.mu.Unlock()
	h.srv.upgrades.given.Add(1)
	return nil
}

// takeBack keeps the clients of which the new process has no answer any more.
func (h *handingOver) takeBack() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for number, d := range h.offers {
		delete(h.offers, number)
		d.Back(false)
	}
}

// finish waits until all clients have moved, for drain_timeout at most, and has Run return. If the new process
// ends before, it goes on as if nothing had been, and returns an error.
func (h *handingOver) finish() error {
	srv := h.srv
	limit := time.NewTimer(srv.Conf().Proxy.DrainTimeout)
	defer limit.Stop()
	look := time.NewTicker(checkEvery)
	defer look.Stop()
	for waiting := srv.Clients() > 0 || h.underWay() > 0; waiting; {
		select {
		case <-look.C:
			waiting = srv.Clients() > 0 || h.underWay() > 0
		case <-limit.C:
			waiting = false
		case <-srv.stopping:
			waiting = false
		case <-h.gone:
			if h.hasEnded() {
				return h.goOn()
			}
			waiting = false
		}
	}
	srv.endGiving()
	for deadline := time.Now().Add(backWithin); h.underWay() > 0 && time.Now().Before(deadline); {
		<-look.C
	}
	h.mu.Lock()
	left := srv.Clients()
	srv.log.Info("handed over to a new process", "pid", h.to.PID, "moved", h.moved, "left", left)
	h.mu.Unlock()
	h.to.SendJSON(handover.Done, handover.Ending{Left: left}, -1)
	srv.draining.Store(true) // no Reload begins
	srv.reloading.Unlock()
	close(srv.handedOver)
	return nil
}

// hasEnded reports whether the new process has ended, rather than only said that it has nothing more to
// say.
func (h *handingOver) hasEnded() bool {
	select {
	case <-h.to.Exited:
		return true
	case <-time.After(backWithin):
		return false
	}
}

// goOn makes this process serve again as before the hand-over.
func (h *handingOver) goOn() error {
	h.srv.endGiving()
	h.acceptAgain()
	h.srv.reloading.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	err := fmt.Errorf("the new process has ended, and %d clients that it had with it: this one accepts clients again", h.moved)
	h.srv.log.Error("upgrade failed", "pid", h.to.PID, "err", err)
	h.srv.UpgradeFailed()
	h.srv.upgrades.lost.Add(uint64(h.moved))
	return err
}

// endGiving makes the sessions that are still here stay.
func (srv *Server) endGiving() {
	for _, l := range srv.loops {
		l.Post(l.sessions.EndGiving)
	}
}

// poolPurpose says what a pool's listening socket is for.
func poolPurpose(name string) string { return "pool " + name }
