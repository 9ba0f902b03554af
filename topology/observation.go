package topology

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/conf"
)

// observation is what one look at a server has shown.
type observation struct {
	addr    string
	asked   time.Time     // when the question was written
	took    time.Duration // until it was answered
	err     error         // why there is no answer; then the rest is empty
	loading bool          // it is reading its data
	replication
}

// answered reports whether the server has said how it is.
func (o *observation) answered() bool { return o.err == nil && !o.asked.IsZero() }

func (o *observation) isPrimary() bool { return o.answered() && o.role == "master" }
func (o *observation) isReplica() bool { return o.answered() && o.role == "slave" }

// replication is what a server says of its part in replication.
type replication struct {
	role    string // "master" or "slave"
	run     string // the ID of the process
	id, id2 string // of the data's history; and of the one that it continues, "" if none
	offset  int64  // how far in that history it is
	forked  int64  // where in the history id2 this one begins; -1 if it continues none

	// Of replicas.
	primary  string // whom it follows, "host:port" as it was told
	linked   bool   // it is connected to its primary and has a copy of its data
	lastHeed int64  // seconds since the primary was heard; -1 if it was not
}

var errNoRole = errors.New("INFO does not tell the server's role")

// observe asks a server how it is.
func observe(ctx context.Context, client *redis.Client, addr string) observation {
	o := observation{addr: addr, asked: time.Now()}
	pipe := client.Pipeline()
	ping := pipe.Ping(ctx)
	info, process := pipe.Info(ctx, "replication"), pipe.Info(ctx, "server")
	role := pipe.Do(ctx, "ROLE")
	if o.err = execute(ctx, pipe); o.err != nil {
		return o
	}
	o.took = time.Since(o.asked)
	// PING tells what INFO does not; its other errors, as MISCONF, mean that the
	// server is there.
	o.loading = redis.HasErrorPrefix(ping.Err(), "LOADING")
	text, err := info.Result()
	if err != nil {
		o.err = err
		return o
	}
	o.replication = readReplication(text + "\r\n" + process.Val())
	// ROLE has the last word, since it came last; who may not ask it goes by INFO.
	if reply, err := role.Slice(); err == nil && len(reply) > 0 {
		if s, ok := reply[0].(string); ok {
			o.role = s
		}
	}
	if o.role == "" {
		o.err = errNoRole
	}
	return o
}

// noHistory is the ID of a history that was never continued.
const noHistory = "0000000000000000000000000000000000000000"

// readReplication reads the sections replication and server of INFO. What is not
// there stays empty.
func readReplication(info string) replication {
	r := replication{lastHeed: -1, forked: -1}
	var host, port string
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "role":
			r.role = value
		case "run_id":
			r.run = value
		case "master_replid":
			r.id = value
		case "master_replid2":
			r.id2 = strings.TrimPrefix(value, noHistory)
		case "master_repl_offset":
			r.offset = number(value, 0)
		case "second_repl_offset":
			r.forked = number(value, -1)
		case "master_host":
			host = value
		case "master_port":
			port = value
		case "master_link_status":
			r.linked = value == "up"
		case "master_last_io_seconds_ago":
			r.lastHeed = number(value, -1)
		}
	}
	if host != "" {
		r.primary = net.JoinHostPort(host, port)
	}
	return r
}

func number(text string, otherwise int64) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}

// A poller looks at one server again and again, on a goroutine of its own,
// since the server may hang.
type poller struct {
	conf     *conf.Pool
	addr     string
	interval *pollInterval
	now      chan struct{} // capacity 1: look at once
	cancel   context.CancelFunc
}

// look has the server looked at at once.
func (l *poller) look() { signal(l.now) }

// run looks, and reports what it sees, until ctx is done. After a failure the
// next question goes over a new connection, for which the name is resolved
// again.
func (l *poller) run(ctx context.Context, report func(observation)) {
	var client *redis.Client
	defer func() {
		if client != nil {
			client.Close()
		}
	}()
	for {
		if client == nil {
			client = NewClient(ctx, l.conf, &conf.Server{Network: "tcp", Addr: l.addr})
		}
		o := observe(ctx, client, l.addr)
		if o.err != nil {
			client.Close()
			client = nil
		}
		if ctx.Err() == nil {
			report(o)
		}
		if !l.interval.wait(ctx, l.now) {
			return
		}
	}
}
