package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/handover"
	"ringway/pool"
	"ringway/session"
)

const (
	reachWithin   = 10 * time.Second // the servers have to be reached that the old process has reached
	connectWithin = time.Second      // connections to servers are waited for, that the old process has
	takeWithin    = time.Minute      // the old process may take to say that this one is to accept clients
)

// Predecessor is the process that a Server takes the place of.
type Predecessor struct {
	*handover.Inherited
	// TookOver, if not nil, is called when this process accepts clients and the old one does not any more.
	TookOver func()
}

// takeInherited returns the socket of a pool that was handed over, or nil. The caller owns it.
func takeInherited(in *handover.Inherited, c *conf.Pool) *os.File {
	return in.Take(poolPurpose(c.Name), c.Listen.Network, c.Listen.Addr)
}

// arriving is a client that was offered.
type arriving struct {
	fd     int
	record *handover.Record
	ln     *listener
	user   *pool.User

	// Of a subscriber; owned by its loop, as fd is.
	session   *session.Arriving // nil until it is ready
	withdrawn bool
}

// takeOver takes the old process's place: it says when this one could serve, and returns when it is to.
func (srv *Server) takeOver(ctx context.Context) error {
	from := srv.predecessor
	if err := srv.reach(ctx, from.Reached); err != nil {
		from.Send(handover.Failed, []byte(err.Error()), -1)
		return err
	}
	srv.preconnect(ctx, from.Kinds)
	if err := from.Send(handover.Ready, nil, -1); err != nil {
		return err
	}
	from.SetReadDeadline(time.Now().Add(takeWithin))
	m, err := from.Receive()
	m.Close()
	if err == nil && m.Kind != handover.TakeOver {
		err = fmt.Errorf("message %d in place of the command to take over", m.Kind)
	}
	var what handover.Takeover
	if err == nil {
		err = json.Unmarshal(m.Body, &what)
	}
	if err != nil {
		return fmt.Errorf("the old process keeps its place: %w", err)
	}
	from.SetReadDeadline(time.Time{})
	from.CloseRest()
	srv.nextID.Store(what.LastID)
	return nil
}

// tookOver goes on when this process accepts clients: it receives those of the old one.
func (srv *Server) tookOver(ctx context.Context) {
	from := srv.predecessor
	srv.log.Info("took over from the old process", "pid", from.PID)
	for _, ln := range srv.now().served() {
		ln.socket.Load().KeepFile(false)
	}
	if from.TookOver != nil {
		from.TookOver()
	}
	from.Send(handover.Serving, nil, -1)
	stop := context.AfterFunc(ctx, func() { from.SetReadDeadline(time.Unix(1, 0)) })
	srv.serving.Go(func() {
		defer stop()
		srv.receiveClients()
	})
}

// reach waits until the pools have reached a server. Pools of which the old process has not reached
// one are no reason to wait.
func (srv *Server) reach(ctx context.Context, reached []string) error {
	limit := time.NewTimer(reachWithin)
	defer limit.Stop()
	look := time.NewTicker(checkEvery)
	defer look.Stop()
	for {
		var missing []string
		for _, p := range srv.Pools() {
			if slices.Contains(reached, p.Conf().Name) && !p.Reached() {
				missing = append(missing, p.Conf().Name)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-look.C:
		case <-limit.C:
			return fmt.Errorf("no server reached within %s of pool %s", reachWithin, strings.Join(missing, ", "))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// receiveClients receives the old process's clients until it has ended.
func (srv *Server) receiveClients() {
	from := srv.predecessor
	offers, taken := map[uint64]*arriving{}, 0
	for {
		m, err := from.Receive()
		if err != nil || m.Kind == handover.Done {
			srv.upgrades.ended(m.Body)
			m.Close()
			break
		}
		number, body, err := handover.CutNumber(m.Body)
		if err != nil {
			m.Close()
			continue
		}
		a := offers[number]
		switch {
		case m.Kind == handover.Offer:
			if a, err = srv.canServe(m.FD, body); err != nil {
				m.Close()
				from.Send(handover.Refuse, handover.Numbered(number, []byte(err.Error())), -1)
				continue
			}
			offers[number] = a
			if a.record.Subscribed() {
				srv.prepare(number, a)
				continue
			}
			from.Send(handover.Accept, handover.Numbered(number, nil), -1)
			continue
		case a == nil:
		case m.Kind == handover.Yours:
			taken++
			srv.upgrades.received.Add(1)
			delete(offers, number)
			srv.serve(a, body)
		case m.Kind == handover.Withdraw:
			delete(offers, number)
			a.drop()
		}
		m.Close()
	}
	for _, a := range offers {
		a.drop()
	}
	from.Drop()
	from.Close()
	srv.log.Info("the old process has handed over", "pid", from.PID, "clients", taken)
}

// canServe makes what is needed to serve a client, or returns why it can't be served.
func (srv *Server) canServe(fd int, body []byte) (*arriving, error) {
	r, err := handover.DecodeRecord(body)
	if err != nil {
		return nil, err
	}
	ln := srv.now().named(r.Pool)
	switch {
	case fd < 0:
		return nil, errors.New("no socket came with it")
	case srv.Draining():
		return nil, errors.New("the new process is being stopped")
	case ln == nil:
		return nil, errors.New("the configuration has its pool no more")
	case r.ProxyUser != "" && r.ProxyUser != "default" && ln.pool.Conf().Users.Named(r.ProxyUser) == nil:
		return nil, errors.New("the configuration has its user no more")
	case !srv.tryAdmit(ln):
		return nil, errors.New("the new process has as many clients as its limits allow")
	}
	a := &arriving{fd: fd, record: r, ln: ln}
	if r.User != nil {
		if a.user, err = ln.pool.AcquireUser(string(r.User.Name), string(r.User.Password)); err != nil {
			srv.Left(ln.index)
			return nil, err
		}
	}
	return a, nil
}

// loopOf returns the loop for a client: that with the index of the one it comes from.
func (srv *Server) loopOf(a *arriving) *loop { return srv.loops[a.record.Loop%len(srv.loops)] }

// prepare subscribes to what a client is subscribed to, and accepts it then.
func (srv *Server) prepare(number uint64, a *arriving) {
	l, from := srv.loopOf(a), srv.predecessor
	l.Post(func() {
		l.sessions.Prepare(a.ln.index, a.record, a.user, func(s *session.Arriving, err error) {
			switch {
			case err != nil:
				go from.Send(handover.Refuse, handover.Numbered(number, []byte(err.Error())), -1)
				a.closeSocket()
			case a.withdrawn:
				s.Drop()
			default:
				a.session = s
				go from.Send(handover.Accept, handover.Numbered(number, nil), -1)
			}
		})
	})
}

// serve serves a client that was given. input is what it has sent since its record was written.
func (srv *Server) serve(a *arriving, input []byte) {
	l := srv.loopOf(a)
	l.Post(func() {
		if !a.record.Subscribed() {
			l.sessions.Receive(a.fd, a.ln.index, a.record, a.user)
		} else if a.session != nil {
			a.session.Enter(a.fd, input)
		}
	})
}

// drop forgets a client that is not this process's.
func (a *arriving) drop() {
	srv := a.ln.srv
	srv.loopOf(a).Post(func() {
		a.closeSocket()
		switch a.withdrawn = true; {
		case a.session != nil:
			a.session.Drop()
		case !a.record.Subscribed():
			a.ln.pool.ReleaseUser(a.user)
			srv.Left(a.ln.index)
		}
	})
}

// closeSocket closes the client's socket, once.
func (a *arriving) closeSocket() {
	if a.fd >= 0 {
		eventloop.CloseFD(a.fd)
		a.fd = -1
	}
}
