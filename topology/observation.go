package topology

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// An observation is the result of one poll of a server.
type observation struct {
	addr    string
	askedAt time.Time     // when the question was written; the zero value if there was no poll
	latency time.Duration // from the question to the answer
	err     error         // why there is no answer; then the fields below are empty
	loading bool          // the server is loading its data from disk
	replication
}

// answered reports whether the server has told its role. It may still be loading.
func (o *observation) answered() bool { return o.err == nil && !o.askedAt.IsZero() }

func (o *observation) isPrimary() bool { return o.answered() && o.role == "master" }
func (o *observation) isReplica() bool { return o.answered() && o.role == "slave" }

// replication is what a server says about its role in replication: INFO's sections
// replication and server, and ROLE.
type replication struct {
	role            string // "master" or "slave"
	runID           string // of the process
	replID, replID2 string // of the history of its data, and of the one that it continues ("" if none)
	offset          int64  // how far its data is in that history
	forkOffset      int64  // where replID2's history ends and replID's begins; -1 without replID2

	// Of replicas.
	primary string // the address of its primary, as it was configured
	linkUp  bool   // it is connected to its primary and has a copy of its data
	lastIO  int64  // seconds since it heard from its primary; -1 if it never did
}

var errNoRole = errors.New("INFO and ROLE do not tell the server's role")

// observe polls a server once: PING, INFO and ROLE in one pipeline. It never returns an error:
// err of the observation is that.
func observe(ctx context.Context, client *redis.Client, addr string) observation {
	o := observation{addr: addr, askedAt: time.Now()}
	pipe := client.Pipeline()
	ping := pipe.Ping(ctx)
	info, process := pipe.Info(ctx, "replication"), pipe.Info(ctx, "server")
	role := pipe.Do(ctx, "ROLE")
	if o.err = execute(ctx, pipe); o.err != nil {
		return o
	}
	o.latency = time.Since(o.askedAt)
	// INFO is answered while the server loads; PING is refused with LOADING. Other
	// errors of PING, such as MISCONF, come from a server that is up.
	o.loading = redis.HasErrorPrefix(ping.Err(), "LOADING")
	text, err := info.Result()
	if err != nil {
		o.err = err
		return o
	}
	o.replication = readReplication(text + "\r\n" + process.Val())
	// ROLE counts rather than INFO, since it was answered last. The ACL may forbid it.
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

// noHistory is what INFO has as master_replid2 of a server whose history continues no other.
const noHistory = "0000000000000000000000000000000000000000"

// readReplication reads the sections replication and server of INFO. Fields that are missing
// stay empty.
func readReplication(info string) replication {
	r := replication{lastIO: -1, forkOffset: -1}
	var host, port string
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "role":
			r.role = value
		case "run_id":
			r.runID = value
		case "master_replid":
			r.replID = value
		case "master_replid2":
			r.replID2 = strings.TrimPrefix(value, noHistory)
		case "master_repl_offset":
			r.offset = parseInt(value, 0)
		case "second_repl_offset":
			r.forkOffset = parseInt(value, -1)
		case "master_host":
			host = value
		case "master_port":
			port = value
		case "master_link_status":
			r.linkUp = value == "up"
		case "master_last_io_seconds_ago":
			r.lastIO = parseInt(value, -1)
		}
	}
	if host != "" {
		r.primary = net.JoinHostPort(host, port)
	}
	return r
}

func parseInt(text string, otherwise int64) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}
