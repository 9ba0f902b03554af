package server

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"ringway/conf"
	"ringway/pool"
	"ringway/session"
)

// ControlPlane is a pool.Watcher that Reload tells of pools that come and go; *topology.Watcher is one.
type ControlPlane interface {
	pool.Watcher
	Watch(*pool.Pool)        // a new pool
	Reconfigured(*pool.Pool) // it has another configuration
	Unwatch(*pool.Pool)      // it is gone
}

// ReloadOptions says what a Reload may do.
type ReloadOptions struct {
	MoveKeys bool // keys may get other owners: what is stored is not moved with them
}

const (
	// reloadWithin is how long Reload waits for the loops to take new servers and to leave old ones. One
	// that does not answer meanwhile follows later.
	reloadWithin = 5 * time.Second
	// drainPoolEvery is how often the clients of a pool that is gone are looked at until they have left.
	drainPoolEvery = 50 * time.Millisecond
)

// Reload makes the proxy serve another configuration, and returns what is different in it. All of it
// takes effect, or nothing: the error says why, for an operator, with the places in the file.
//
// Clients keep their connections, and servers that stay keep theirs. Requests under way are answered
// where they were sent. Clients of a pool that is gone are closed when nothing of them is under way,
// after drain_timeout at most; so are those of a pool whose topology or shards change, which
// another pool of the same name takes the place of.
//
// cfg must come from package conf and not be changed afterwards. Any goroutine may call Reload while
// Run runs, but a loop's.
func (srv *Server) Reload(cfg *conf.Config, o ReloadOptions) ([]conf.Change, error) {
	srv.reloading.Lock()
	defer srv.reloading.Unlock()
	if srv.Draining() {
		return nil, errors.New("the proxy is being stopped")
	}
	r := &reload{srv: srv, was: srv.now(), cfg: cfg, changes: conf.Changes(srv.Conf(), cfg)}
	if err := errors.Join(r.checkFixed(), r.checkPools(o.MoveKeys)); err != nil {
		return nil, err
	}
	answering, cancel := context.WithTimeout(srv.ctx, reloadWithin)
	defer cancel()
	if !srv.awaitLoops(answering, func(int, *loop) {}) {
		return nil, errors.New("an event loop does not answer: reload when it does")
	}
	if err := r.open(); err != nil {
		r.closeOpened()
		return nil, err
	}
	r.apply()
	return r.changes, nil
}

// reload is a Reload under way.
type reload struct {
	srv     *Server
	was     *running
	cfg     *conf.Config
	changes []conf.Change

	pools      []poolReload // in the order of cfg
	before     []*socket    // of the pools that there were
	opened     []*socket
	maxClients int
}

// poolReload is what becomes of a pool.
type poolReload struct {
	conf     *conf.Pool
	listener *listener // that there is; nil if the pool is new, or takes the place of one
	changed  bool      // it has other settings
	replaced error     // why a new pool takes the place of the one that there is; nil if none does
	socket   *socket   // of its clients from now on
}

// checkFixed returns which settings can't change.
func (r *reload) checkFixed() error {
	var all []error
	for _, c := range r.changes {
		if c.NeedsRestart() {
			all = append(all, fmt.Errorf("%s: can't change while the proxy runs; restart it, or keep the value", c))
		}
	}
	return errors.Join(all...)
}

// checkPools finds out what becomes of each pool. It returns an error if keys would get other owners and may not.
func (r *reload) checkPools(moveKeys bool) error {
	var all []error
	proxyChanged := !reflect.DeepEqual(r.was.conf.Proxy, r.cfg.Proxy)
	for i := range r.cfg.Pools {
		c := &r.cfg.Pools[i]
		pr := poolReload{conf: c, listener: r.was.named(c.Name)}
		if pr.listener != nil {
			p := pr.listener.pool
			pr.changed = proxyChanged || !reflect.DeepEqual(p.Conf(), c)
			moves, err := p.Conf().Moves(c)
			if err == nil && moves.Any() && !moveKeys {
				err = fmt.Errorf("pools.%s: %s would move, and what is stored there does not move along: use --move-keys (RELOAD MOVEKEYS on the console) if the data may be lost", c.Name, moves)
			}
			all = append(all, err)
			if pr.replaced = p.CanReconfigure(c); pr.replaced != nil {
				pr.listener = nil
			}
		}
		r.pools = append(r.pools, pr)
	}
	return errors.Join(all...)
}

// open opens what can fail: the sockets, and new pools.
func (r *reload) open() (err error) {
	if r.maxClients, err = r.srv.fitClients(r.cfg, len(r.srv.loops)); err != nil {
		return err
	}
	free := map[*socket]bool{} // sockets that nobody has claimed
	for _, ln := range r.was.all() {
		if !ln.leaving.Load() { // its socket is another pool's by now, or closed
			free[ln.socket.Load()] = true
			r.before = append(r.before, ln.socket.Load())
		}
	}
	for i := range r.pools { // first those that stay where they are
		pr := &r.pools[i]
		if was := r.was.named(pr.conf.Name); was != nil && was.socket.Load().isAt(pr.conf) {
			pr.socket = was.socket.Load()
			delete(free, pr.socket)
		}
	}
	for i := range r.pools {
		pr := &r.pools[i]
		for s := range free {
			if pr.socket == nil && s.isAt(pr.conf) {
				pr.socket = s
				delete(free, s)
			}
		}
		if pr.socket == nil {
			if pr.socket, err = listen(pr.conf, &r.cfg.Proxy, nil); err != nil {
				return err
			}
			r.opened = append(r.opened, pr.socket)
		}
	}
	return nil
}

// isAt reports whether the socket is where a pool wants to listen.
func (s *socket) isAt(c *conf.Pool) bool {
	return s.at.Network == c.Listen.Network && s.at.Addr == c.Listen.Addr
}

func (r *reload) closeOpened() {
	for _, s := range r.opened {
		s.Close()
	}
}

// apply makes everything take effect. It can't fail.
func (r *reload) apply() {
	srv := r.srv
	ctx, cancel := context.WithTimeout(context.Background(), reloadWithin)
	defer cancel()
	srv.memory.setLimit(&r.cfg.Proxy)
	srv.maxClients.Store(int64(r.maxClients))
	srv.onLoops(func(_ int, l *loop) { l.sessions.SetProxy(&r.cfg.Proxy) })

	next := &running{conf: r.cfg, loaded: time.Now(), listeners: slices.Clone(r.was.listeners)}
	stays := map[*listener]bool{}
	var fresh []*listener
	for i := range r.pools {
		pr := &r.pools[i]
		if pr.listener == nil {
			if pr.replaced != nil {
				srv.log.Info("pool replaced, since it can't change in place: its clients have to connect again", "pool", pr.conf.Name, "why", pr.replaced)
			}
			ln := r.add(next, pr)
			fresh = append(fresh, ln)
			stays[ln] = true
			continue
		}
		stays[pr.listener] = true
		r.reconfigure(ctx, pr)
	}
	var gone []*listener
	for _, ln := range next.all() {
		if !stays[ln] && !ln.leaving.Swap(true) {
			gone = append(gone, ln)
		}
	}
	srv.running.Store(next)
	for _, ln := range fresh {
		if w, ok := srv.watcher.(ControlPlane); ok {
			w.Watch(ln.pool)
		}
	}
	r.moveSockets()
	for _, ln := range gone {
		srv.log.Info("pool removed: its clients are closed when nothing of them is under way", "pool", ln.pool.Conf().Name, "clients", ln.clients.Load())
		srv.serving.Go(func() { srv.drainPool(ln) })
	}
}

// reconfigure makes a pool that stays follow its settings.
func (r *reload) reconfigure(ctx context.Context, pr *poolReload) {
	if !pr.changed {
		return
	}
	p, index := pr.listener.pool, pr.listener.index
	rewatch := !reflect.DeepEqual(p.Conf(), pr.conf) || r.was.conf.Proxy.Zone != r.cfg.Proxy.Zone
	leave, err := p.Reconfigure(ctx, pr.conf, &r.cfg.Proxy)
	if err != nil {
		panic(err) // the configuration is validated
	}
	pr.listener.refreshTLS() // logs what is wrong
	r.srv.onLoops(func(_ int, l *loop) { l.sessions.Reconfigured(index) })
	if leave != nil { // behind what sessions have to say to the servers that leave
		r.srv.serving.Go(func() { leave(r.srv.ctx) })
	}
	if w, ok := r.srv.watcher.(ControlPlane); ok && rewatch {
		w.Reconfigured(p)
	}
}

// add makes a new pool known to the loops.
func (r *reload) add(next *running, pr *poolReload) *listener {
	srv := r.srv
	index := slices.Index(next.listeners, nil)
	if index < 0 {
		index = len(next.listeners)
		next.listeners = append(next.listeners, nil)
	}
	ln, err := srv.newListener(pr.conf, &r.cfg.Proxy, pr.socket, index)
	if err != nil {
		panic(err) // the configuration is validated
	}
	next.listeners[index] = ln
	arrival := session.NewArrival(ln.pool, index, srv.log)
	joining := make([]*session.Joining, len(srv.loops))
	srv.onLoops(func(i int, l *loop) { joining[i] = l.sessions.AddPool(arrival) })
	srv.onLoops(func(i int, l *loop) { l.sessions.Join(joining[i], joining) })
	return ln
}

// onLoops runs fn on each loop with the loop's index. It returns when all have run it, or the process is
// about to end.
func (srv *Server) onLoops(fn func(i int, l *loop)) { srv.awaitLoops(srv.ctx, fn) }

// awaitLoops is onLoops until ctx is done. It reports whether all loops have run fn.
func (srv *Server) awaitLoops(ctx context.Context, fn func(i int, l *loop)) bool {
	done := make(chan struct{}, len(srv.loops))
	for i, l := range srv.loops {
		l.Post(func() {
			fn(i, l)
			done <- struct{}{}
		})
	}
	for range srv.loops {
		select {
		case <-done:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// moveSockets gives each pool its socket, and closes those that no pool has any more.
func (r *reload) moveSockets() {
	used := map[*socket]bool{}
	for i := range r.pools {
		pr := &r.pools[i]
		ln := r.srv.now().named(pr.conf.Name)
		used[pr.socket] = true
		before := ln.socket.Swap(pr.socket)
		if before != pr.socket || pr.socket.to.Load() != ln {
			ln.start()
		}
		if err := pr.socket.configure(pr.conf, &r.cfg.Proxy); err != nil {
			r.srv.log.Warn("listening socket keeps its settings", "pool", pr.conf.Name, "err", err)
		}
	}
	for _, s := range r.before {
		if !used[s] {
			s.Close()
		}
	}
}

// drainPool closes the clients of a pool that is gone, and then the pool.
func (srv *Server) drainPool(ln *listener) {
	deadline := time.Now().Add(srv.Conf().Proxy.DrainTimeout)
	again := time.NewTicker(drainPoolEvery)
	defer again.Stop()
	for gone := false; !gone; {
		var left atomic.Int32
		srv.onLoops(func(_ int, l *loop) {
			if !l.sessions.DrainPool(ln.index, time.Now().After(deadline)) {
				left.Add(1)
			}
		})
		gone = left.Load() == 0 && ln.clients.Load() == 0
		select {
		case <-again.C:
		case <-srv.ctx.Done():
			return
		}
	}
	if w, ok := srv.watcher.(ControlPlane); ok {
		w.Unwatch(ln.pool)
	}
	srv.onLoops(func(_ int, l *loop) { l.sessions.RemovePool(ln.index) })
	srv.reloading.Lock()
	defer srv.reloading.Unlock()
	srv.log.Info("pool closed", "pool", ln.pool.Conf().Name)
	next := *srv.now()
	next.listeners = slices.Clone(next.listeners)
	next.listeners[ln.index] = nil
	srv.running.Store(&next)
}
