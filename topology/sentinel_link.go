package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/conf"
)

// sentinelLink is one Sentinel: it is polled, and its events are listened to, by
// a goroutine each.
type sentinelLink struct {
	// Static after construction.
	follower *sentinelFollower
	addr     string // that is connected to
	listed   bool   // in the configuration, not learnt
	cancel   context.CancelFunc
	now      chan struct{} // capacity 1: poll at once
	back     chan struct{} // capacity 1: it answers again, so subscribe at once

	// Of the follower's goroutine.
	id     string     // that the Sentinel has for itself; "" before it has told
	err    error      // why it did not answer last; nil before the first question
	asked  bool       // there was a first question
	others []instance // the Sentinels that it knows

	fullAt time.Time // of the polling goroutine: when all was asked last
}

// poll is what a Sentinel answers.
type poll struct {
	err     error
	full    bool
	id      string
	masters map[int]masterPoll // by shard; those that were asked for
}

// masterPoll is what it says of one master.
type masterPoll struct {
	said     said
	replicas []string // as the Sentinel names them; nil unless all was asked
	peers    []instance
	patience time.Duration // after which it takes the master for down; 0 if it does not tell
}

func (l *sentinelLink) newClient(ctx context.Context) *redis.Client {
	c := l.follower.conf
	o := options(ctx, c, conf.Address{Network: "tcp", Addr: l.addr}, c.SentinelTLS)
	o.Username, o.Password = c.SentinelUser, c.SentinelAuth
	return redis.NewClient(o)
}

// look has the Sentinel polled at once.
func (l *sentinelLink) look() { signal(l.now) }

// signal sends on a channel that has a capacity of 1.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// run polls until ctx is done.
func (l *sentinelLink) run(ctx context.Context) {
	f := l.follower
	var client *redis.Client
	defer func() {
		if client != nil {
			client.Close()
		}
	}()
	for {
		if client == nil {
			client = l.newClient(ctx)
		}
		p := l.poll(ctx, client)
		if p.err != nil {
			client.Close()
			client = nil
		}
		f.box.post(func() { f.polled(l, p) })
		if !f.pace.wait(ctx, l.now) {
			return
		}
	}
}

// poll asks for the masters that are in trouble, and now and then for all there
// is. The epoch is asked for before the address: one that is older than its
// address is put right by the next poll, the contrary would be a lie.
func (l *sentinelLink) poll(ctx context.Context, client *redis.Client) (p poll) {
	f := l.follower
	// Not quite the interval, so that jitter does not make it two.
	p.full = time.Since(l.fullAt) >= f.conf.ProbeInterval*3/4
	pipe := client.Pipeline()
	id := pipe.Do(ctx, "SENTINEL", "MYID")
	type question struct{ epoch, addr, replicas, peers *redis.Cmd }
	asked := map[int]question{}
	for i, sh := range f.conf.Shards {
		if !p.full && !f.shards[i].pace.hurried() {
			continue
		}
		q := question{epoch: pipe.Do(ctx, "SENTINEL", "MASTER", sh.Name)}
		q.addr = pipe.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", sh.Name)
		if p.full {
			q.replicas = pipe.Do(ctx, "SENTINEL", "REPLICAS", sh.Name)
			q.peers = pipe.Do(ctx, "SENTINEL", "SENTINELS", sh.Name)
		}
		asked[i] = q
	}
	if p.err = execute(ctx, pipe); p.err != nil {
		return p
	}
	p.id, _ = id.Text()
	p.masters = map[int]masterPoll{}
	for i, q := range asked {
		m := masterPoll{}
		m.said, p.err = readSaid(q.epoch, q.addr)
		if p.err != nil {
			return p
		}
		if fields, err := q.epoch.Slice(); err == nil {
			m.patience = time.Duration(number(text(pairs(fields)["down-after-milliseconds"]), 0)) * time.Millisecond
		}
		if p.full {
			for _, r := range readInstances(q.replicas) {
				m.replicas = append(m.replicas, r.addr)
			}
			m.peers = readInstances(q.peers)
		}
		p.masters[i] = m
	}
	if p.full {
		l.fullAt = time.Now()
	}
	return p
}

// readSaid reads what a Sentinel says of a master. That it knows none of the name
// is no error, and an address without an epoch is.
func readSaid(epoch, addr *redis.Cmd) (said, error) {
	pair, err := addr.StringSlice()
	switch {
	case errors.Is(err, redis.Nil):
		return said{}, nil
	case err != nil:
		return said{}, err
	case len(pair) != 2:
		return said{}, errors.New("GET-MASTER-ADDR-BY-NAME: want host and port")
	}
	fields, err := epoch.Slice()
	if err != nil {
		return said{}, err
	}
	n, err := strconv.ParseInt(text(pairs(fields)["config-epoch"]), 10, 64)
	if err != nil {
		return said{}, fmt.Errorf("SENTINEL MASTER: config-epoch: %w", err)
	}
	return said{net.JoinHostPort(pair[0], pair[1]), n}, nil
}

// instance is a server or a Sentinel, as a Sentinel describes it.
type instance struct{ addr, id string }

// instancesMost bounds how many replicas, or other Sentinels, one Sentinel is
// believed to know of a master: each is asked in turn.
const instancesMost = 128

// readInstances reads a list of them; what is no such thing is left out.
func readInstances(reply *redis.Cmd) (list []instance) {
	entries, _ := reply.Slice()
	for _, e := range entries[:min(len(entries), instancesMost)] {
		m := pairs(e)
		if ip, port := text(m["ip"]), text(m["port"]); ip != "" && port != "" {
			list = append(list, instance{net.JoinHostPort(ip, port), text(m["runid"])})
		}
	}
	return list
}

// listen passes on the Sentinel's events until ctx is done.
func (l *sentinelLink) listen(ctx context.Context) {
	const least, most = 50 * time.Millisecond, time.Second
	wait := least
	for {
		client := l.newClient(ctx)
		began := time.Now()
		l.hear(ctx, client)
		client.Close()
		if time.Since(began) > most {
			wait = least
		}
		if !newPollInterval(wait).wait(ctx, l.back) {
			return
		}
		wait = min(2*wait, most)
	}
}

// hear subscribes once, and passes events on until the connection is lost, or has
// been silent for so long that it must be.
func (l *sentinelLink) hear(ctx context.Context, client *redis.Client) {
	f := l.follower
	events := client.PSubscribe(ctx, "*")
	defer events.Close()
	stop := context.AfterFunc(ctx, func() { events.Close() })
	defer stop()
	patience := max(f.conf.ConnectTimeout, time.Second)
	pinged := false
	for {
		got, err := events.ReceiveTimeout(ctx, patience)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !pinged:
			if events.Ping(ctx) != nil {
				return
			}
			pinged = true
			continue
		case err != nil:
			return
		}
		pinged = false
		switch m := got.(type) {
		case *redis.Subscription:
			l.look() // what happened before was missed
		case *redis.Message:
			channel, payload := m.Channel, m.Payload
			f.box.post(func() { f.event(l, channel, payload) })
		}
	}
}

// isOfFailover tells events of failovers from the many others, for the log.
func isOfFailover(channel string) bool {
	return isBeginning(channel) || channel == "+switch-master" || strings.HasPrefix(channel, "-failover-abort-")
}
