package topology

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"ringway/conf"
	"ringway/pool"
	"ringway/resp"
)

// How often a server that is down is asked, at most and at least. A pool that
// does not eject gains nothing by waiting for server_retry_timeout, since no
// key moves when the server is back.
const (
	firstProbe = 100 * time.Millisecond
	lastProbe  = 500 * time.Millisecond
)

// relapseMost is how long a server that fails again and again after it was
// restored is left alone at most, but for a longer server_retry_timeout.
const relapseMost = 30 * time.Second

// ServerDown is pool.Watcher's: it starts to probe.
func (pr *Prober) ServerDown(p *pool.Pool, server, relapses int) {
	if pr.ctx.Err() != nil {
		return
	}
	pr.wg.Go(func() { pr.tend(p, "probing a server", func() { pr.probe(p, server, relapses) }) })
}

// firstWait is how long a server that has failed is left alone: longer each time
// that it fails soon after it was restored, but for the first two, which may be
// chance.
func firstWait(c *conf.Pool, relapses int) time.Duration {
	wait := firstProbe
	if c.AutoEjectHosts {
		wait = c.ServerRetryTimeout
	}
	longest := max(wait, relapseMost)
	for range relapses - 2 {
		wait = min(2*max(wait, firstProbe), longest)
	}
	return wait
}

// probe asks until the server answers, and restores it.
func (pr *Prober) probe(p *pool.Pool, server, relapses int) {
	c := p.Conf()
	wait, told := firstWait(c, relapses), false
	for pr.sleep(wait) {
		err := pr.revive(c, &c.Servers[server])
		if err == nil {
			p.Restore(server)
			return
		}
		if errors.Is(err, errNotEmptied) && !told {
			told = true
			pr.log.Warn("server can't be emptied, so it stays off the ring: let FLUSHALL be, or set restore = \"keep\"", "pool", c.Name, "server", c.Servers[server].Name, "err", err)
		}
		pr.log.Debug("server still down", "pool", c.Name, "server", c.Servers[server].Name, "err", err)
		wait = min(max(2*wait, firstProbe), lastProbe)
		wait -= rand.N(wait/8 + 1)
	}
}

var errNotEmptied = errors.New("FLUSHALL")

// flushWithin is how long a server may take to empty itself.
const flushWithin = 30 * time.Second

// revive asks a server that was down whether it can serve, and has it empty itself
// if the pool wants that.
func (pr *Prober) revive(c *conf.Pool, s *conf.Server) error {
	call, err := dial(pr.ctx, c, c.ServerAuth(), s)
	if err != nil {
		return err
	}
	defer call.nc.Close()
	if err := call.ask("PING"); err != nil || c.Restore != conf.RestoreFlush {
		return err
	}
	call.nc.SetDeadline(time.Now().Add(flushWithin))
	if err := call.ask("FLUSHALL"); err != nil {
		return fmt.Errorf("%w: %w", errNotEmptied, err)
	}
	return nil
}

// ping asks once, over a connection of its own.
func (pr *Prober) ping(c *conf.Pool, auth []string, s *conf.Server) error {
	call, err := dial(pr.ctx, c, auth, s)
	if err != nil {
		return err
	}
	defer call.nc.Close()
	return call.ask("PING")
}

// call is a connection to one server that was made as event loops make theirs: who
// answers here, answers there. (go-redis has ways of its own: where AUTH is
// refused since there is no password, its HELLO is not.)
type call struct {
	nc net.Conn
	r  *bufio.Reader
}

// dial connects and makes itself known. All that must be done in connect_timeout.
func dial(ctx context.Context, c *conf.Pool, auth []string, s *conf.Server) (*call, error) {
	nc, err := dialer(ctx, c, c.ServerTLS)(ctx, s.Network, s.Addr)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(c.ConnectTimeout))
	call := &call{nc, bufio.NewReader(nc)}
	if auth != nil {
		err = call.ask(append([]string{"AUTH"}, auth...)...)
	}
	if err == nil && c.RedisDB != 0 {
		err = call.ask("SELECT", strconv.Itoa(c.RedisDB))
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return call, nil
}

// refusal is an error that a server has answered with, without "-".
type refusal string

func (r refusal) Error() string { return string(r) }

var errOddReply = errors.New("not a status")

// ask sends a request whose reply is a status. An error that the server answers
// with is a refusal.
func (c *call) ask(args ...string) error {
	request := make([][]byte, len(args))
	for i, arg := range args {
		request[i] = []byte(arg)
	}
	if _, err := c.nc.Write(resp.AppendRequest(nil, request)); err != nil {
		return err
	}
	line, err := c.r.ReadString('\n')
	switch {
	case err != nil:
		return err
	case line[0] == '-':
		return refusal(strings.TrimSpace(line[1:]))
	case line[0] != '+':
		return fmt.Errorf("%s: %w: %.40q", args[0], errOddReply, line)
	}
	return nil
}

// Suspect is pool.Watcher's. Of a static pool it tells that a server says that it
// is loading: if it says so here too, it is ejected until it has loaded.
func (pr *Prober) Suspect(p *pool.Pool, server int, _ string, why pool.Suspicion) {
	at := poolServer{p, server}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if why != pool.LoadingServer || pr.ctx.Err() != nil || pr.looked[at] {
		return
	}
	pr.looked[at] = true
	pr.wg.Go(func() {
		survive(pr.log, "looking at a server that loads", func() { pr.ejectIfLoading(p, server) })
		pr.mu.Lock()
		delete(pr.looked, at)
		pr.mu.Unlock()
	})
}

func (pr *Prober) ejectIfLoading(p *pool.Pool, server int) {
	c := p.Conf()
	err := pr.ping(c, c.ServerAuth(), &c.Servers[server])
	if r, ok := err.(refusal); ok && strings.HasPrefix(string(r), "LOADING") {
		p.Eject(server, err)
	}
}
