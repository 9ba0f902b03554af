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

// A sentinelLink is one Sentinel. One goroutine polls it (run), another subscribes to its
// events (listen).
type sentinelLink struct {
	// Static after construction.
	follower    *sentinelFollower
	addr        string // of the Sentinel
	configured  bool   // the configuration lists it; otherwise it was learnt from another
	cancel      context.CancelFunc
	wake        chan struct{} // capacity 1: poll at once
	resubscribe chan struct{} // capacity 1: it answers again, so subscribe at once

	// Of the follower's goroutine.
	id     string     // the Sentinel's own ID; "" before it has told
	err    error      // why it did not answer the last poll; nil before the first
	polled bool       // there was a first poll
	heard  bool       // its events are subscribed to
	peers  []instance // the other Sentinels that it knows

	// Of the polling goroutine.
	fullAt time.Time // when everything was asked last
}

// A poll is a Sentinel's answer.
type poll struct {
	err     error
	full    bool               // replicas and other Sentinels were asked for, too
	id      string             // the Sentinel's own
	masters map[int]masterPoll // by shard; those that were asked for
}

// A masterPoll is what a Sentinel says of one master.
type masterPoll struct {
	config    masterConfig
	replicas  []string      // their addresses, as the Sentinel has them; nil unless the poll is full
	peers     []instance    // the other Sentinels of the master; nil unless the poll is full
	downAfter time.Duration // down-after-milliseconds; 0 if it does not tell
}

func (l *sentinelLink) newClient(ctx context.Context) *redis.Client {
	return newSentinelClient(ctx, l.follower.conf, l.addr)
}

// newSentinelClient is NewClient for a Sentinel of a pool.
func newSentinelClient(ctx context.Context, c *conf.Pool, addr string) *redis.Client {
	o := options(ctx, c, conf.Address{Network: "tcp", Addr: addr}, c.SentinelTLS)
	o.Username, o.Password = c.SentinelUser, c.SentinelAuth
	return redis.NewClient(o)
}

// pollNow has the Sentinel polled at once, or right after the poll under way.
func (l *sentinelLink) pollNow() { signal(l.wake) }

// signal sends on a channel of capacity 1, unless a signal waits there already.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// run polls until ctx is done. After a failure the next poll uses a new connection.
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
		f.mailbox.post(func() { f.onPoll(l, p) })
		if !f.interval.wait(ctx, l.wake) {
			return
		}
	}
}

// poll asks for the masters that may be changing, and once in a probe_interval for all of
// them, their replicas and their other Sentinels.
//
// The epoch is asked for before the address. If a failover comes between the two, the answer
// is an old epoch with a new address, which is not newer than what is known and is put right
// by the next poll. The other way round it would be a new epoch with an old address, which
// would undo the failover.
func (l *sentinelLink) poll(ctx context.Context, client *redis.Client) (p poll) {
	f := l.follower
	// A little less than the interval, so that jitter does not make it two.
	p.full = time.Since(l.fullAt) >= f.conf.ProbeInterval*3/4
	pipe := client.Pipeline()
	id := pipe.Do(ctx, "SENTINEL", "MYID")
	type question struct{ epoch, addr, replicas, peers *redis.Cmd }
	asked := map[int]question{}
	for i, sh := range f.conf.Shards {
		if !p.full && !f.shards[i].interval.isFast() {
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
		m.config, p.err = readMasterConfig(q.epoch, q.addr)
		if p.err != nil {
			return p
		}
		if fields, err := q.epoch.Slice(); err == nil {
			m.downAfter = time.Duration(parseInt(text(toMap(fields)["down-after-milliseconds"]), 0)) * time.Millisecond
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

// readMasterConfig reads a Sentinel's answers about a master. A name that the Sentinel does
// not know is no error, and gives the zero value; an address without an epoch is one.
func readMasterConfig(epoch, addr *redis.Cmd) (masterConfig, error) {
	pair, err := addr.StringSlice()
	switch {
	case errors.Is(err, redis.Nil):
		return masterConfig{}, nil
	case err != nil:
		return masterConfig{}, err
	case len(pair) != 2:
		return masterConfig{}, errors.New("GET-MASTER-ADDR-BY-NAME: want host and port")
	}
	fields, err := epoch.Slice()
	if err != nil {
		return masterConfig{}, err
	}
	n, err := strconv.ParseInt(text(toMap(fields)["config-epoch"]), 10, 64)
	if err != nil {
		return masterConfig{}, fmt.Errorf("SENTINEL MASTER: config-epoch: %w", err)
	}
	return masterConfig{net.JoinHostPort(pair[0], pair[1]), n}, nil
}

// An instance is a server or a Sentinel, as a Sentinel describes it; the ID is a server's run
// ID or a Sentinel's own ID.
type instance struct{ addr, id string }

// instancesMost bounds how many replicas, or other Sentinels, one Sentinel can name for a
// master, since each is polled.
const instancesMost = 128

// readInstances reads a list of instances; entries without an address are left out.
func readInstances(reply *redis.Cmd) (list []instance) {
	entries, _ := reply.Slice()
	for _, e := range entries[:min(len(entries), instancesMost)] {
		m := toMap(e)
		if ip, port := text(m["ip"]), text(m["port"]); ip != "" && port != "" {
			list = append(list, instance{net.JoinHostPort(ip, port), text(m["runid"])})
		}
	}
	return list
}

// listen passes the Sentinel's events on until ctx is done. When the connection is lost it
// subscribes again: after 50 ms to 1 s, or as soon as a poll is answered again.
func (l *sentinelLink) listen(ctx context.Context) {
	const least, most = 50 * time.Millisecond, time.Second
	wait := least
	for {
		client := l.newClient(ctx)
		began := time.Now()
		l.subscribe(ctx, client)
		l.setHeard(false)
		client.Close()
		if time.Since(began) > most {
			wait = least
		}
		if !newPollInterval(wait).wait(ctx, l.resubscribe) {
			return
		}
		wait = min(2*wait, most)
	}
}

// subscribe subscribes to all events and passes them on until the connection is lost. If
// nothing comes for a second it sends PING, and gives the connection up if that is not
// answered: a Sentinel without a failover may publish nothing for hours.
func (l *sentinelLink) subscribe(ctx context.Context, client *redis.Client) {
	f := l.follower
	events := client.PSubscribe(ctx, "*")
	defer events.Close()
	stop := context.AfterFunc(ctx, func() { events.Close() })
	defer stop()
	silence := max(f.conf.ConnectTimeout, time.Second)
	pinged := false
	for {
		got, err := events.ReceiveTimeout(ctx, silence)
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
			l.pollNow() // what was published before the subscription was missed
			l.setHeard(true)
		case *redis.Message:
			channel, payload := m.Channel, m.Payload
			f.mailbox.post(func() { f.onEvent(l, channel, payload) })
		}
	}
}

// setHeard records whether the Sentinel's events are subscribed to.
func (l *sentinelLink) setHeard(heard bool) {
	f := l.follower
	f.mailbox.post(func() {
		l.heard = heard
		f.setAllReplicaAcks()
	})
}

// isFailoverEvent reports whether an event belongs to a failover, so that the log has it;
// Sentinels publish many others.
func isFailoverEvent(channel string) bool {
	return isFailoverStart(channel) || channel == "+switch-master" || strings.HasPrefix(channel, "-failover-abort-")
}
