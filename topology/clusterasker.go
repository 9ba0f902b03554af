package topology

import (
	"context"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"ringway/conf"
)

// A clusterAsker asks one server of a Cluster, one question at a time.
type clusterAsker struct {
	// Static after construction.
	conf *conf.Pool
	addr string

	// Of the follower's goroutine.
	busy       bool        // a question is under way
	failing    bool        // the last one was not answered
	last       observation // since the replicas were judged last; the zero value if there is none
	loggedHint string      // what the log already has about a wrong setting
	health                 // as a server that is read from

	// Of the goroutine of the question under way, if busy; else of the follower's.
	client   *redis.Client // nil while there is none
	noShards bool          // the server does not know CLUSTER SHARDS: it is older than Redis 7
}

// A clusterAnswer is the result of a question.
type clusterAnswer struct {
	asker       *clusterAsker
	round       uint64 // random; tells answers to this round's questions from late ones
	view        *clusterView
	observation observation // only if replicas are read
	err         error
}

// close closes the connection. The asker must not be busy.
func (a *clusterAsker) close() {
	if a.client != nil {
		a.client.Close()
		a.client = nil
	}
}

// ask asks for the server's view of the Cluster and, if replicas are read, for its role and
// offset. After a failure the next question uses a new connection, for which a host name is
// resolved again.
func (a *clusterAsker) ask(ctx context.Context) clusterAnswer {
	host, _, err := net.SplitHostPort(a.addr)
	if err != nil {
		return clusterAnswer{err: err}
	}
	if a.client == nil {
		a.client = NewClient(ctx, a.conf, &conf.Server{Network: "tcp", Addr: a.addr})
	}
	var answer clusterAnswer
	answer.view, answer.err = a.query(ctx, clusterReader{host: host, tls: a.conf.ServerTLS != nil})
	if answer.err == nil && a.conf.ReadFrom != conf.ReadPrimary {
		answer.observation = observe(ctx, a.client, a.addr)
	}
	if answer.err != nil {
		a.close()
	}
	return answer
}

// query asks over the current connection. Only the slots are required: some hosted services
// forbid CLUSTER NODES and CLUSTER INFO, and without them there are no epochs.
func (a *clusterAsker) query(ctx context.Context, r clusterReader) (*clusterView, error) {
	how, read := "SHARDS", r.readShards
	if a.noShards {
		how, read = "SLOTS", r.readSlots
	}
	pipe := a.client.Pipeline()
	slots := pipe.Do(ctx, "CLUSTER", how)
	nodes, info := pipe.Do(ctx, "CLUSTER", "NODES"), pipe.Do(ctx, "CLUSTER", "INFO")
	if err := execute(ctx, pipe); err != nil {
		return nil, err
	}
	reply, err := slots.Result()
	if err != nil && !a.noShards && isUnknownCommand(err) {
		a.noShards = true
		return a.query(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	v := newView(a.addr)
	if err := read(v, reply); err != nil {
		return nil, err
	}
	if text, err := nodes.Text(); err == nil {
		r.readNodes(v, text)
	}
	if text, err := info.Text(); err == nil {
		v.readInfo(text)
	}
	return v, nil
}

// isUnknownCommand reports whether an error means that the server does not know the
// subcommand, in the words of Redis 4 to 7 and compatible servers.
func isUnknownCommand(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "unknown") || strings.Contains(text, "wrong number of arguments") || strings.Contains(text, "not supported")
}
