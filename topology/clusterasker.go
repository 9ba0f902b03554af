package topology

import (
	"context"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"ringway/conf"
)

// clusterAsker asks one server, one question at a time.
type clusterAsker struct {
	conf *conf.Pool
	addr string // that is connected to

	// These are the follower's.
	busy    bool        // a question is under way
	failing bool        // the last one was not answered
	last    observation // since the last judgement; the zero value if there is none
	hinted  string      // what the log has of the configuration being wrong
	fitness             // as a server that is read

	// These are the question's under way.
	client  *redis.Client // nil while there is none
	before7 bool          // it does not know CLUSTER SHARDS
}

// clusterAnswer is what came of a question.
type clusterAnswer struct {
	asker       *clusterAsker
	round       uint64
	view        *clusterView
	observation observation // if replicas are read
	err         error
}

// close is for an asker that is not busy.
func (a *clusterAsker) close() {
	if a.client != nil {
		a.client.Close()
		a.client = nil
	}
}

// ask asks what the server sees. After a failure the next question goes over a
// new connection, for which the name is resolved again.
func (a *clusterAsker) ask(ctx context.Context) clusterAnswer {
	host, _, err := net.SplitHostPort(a.addr)
	if err != nil {
		return clusterAnswer{err: err}
	}
	if a.client == nil {
		a.client = NewClient(ctx, a.conf, &conf.Server{Network: "tcp", Addr: a.addr})
	}
	var answer clusterAnswer
	answer.view, answer.err = a.look(ctx, clusterReader{host: host, tls: a.conf.ServerTLS != nil})
	if answer.err == nil && a.conf.ReadFrom != conf.ReadPrimary {
		answer.observation = observe(ctx, a.client, a.addr)
	}
	if answer.err != nil {
		a.close()
	}
	return answer
}

// look asks over the connection that there is. Only the slots have to be told: some
// hosts allow no more.
func (a *clusterAsker) look(ctx context.Context, r clusterReader) (*clusterView, error) {
	how, read := "SHARDS", r.readShards
	if a.before7 {
		how, read = "SLOTS", r.readSlots
	}
	pipe := a.client.Pipeline()
	slots := pipe.Do(ctx, "CLUSTER", how)
	nodes, info := pipe.Do(ctx, "CLUSTER", "NODES"), pipe.Do(ctx, "CLUSTER", "INFO")
	if err := execute(ctx, pipe); err != nil {
		return nil, err
	}
	reply, err := slots.Result()
	if err != nil && !a.before7 && isUnknownCommand(err) {
		a.before7 = true
		return a.look(ctx, r)
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

// isUnknownCommand reports whether a server does not know a subcommand, in the
// words of Redis 4 to 7 and their kin.
func isUnknownCommand(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "unknown") || strings.Contains(text, "wrong number of arguments") || strings.Contains(text, "not supported")
}
