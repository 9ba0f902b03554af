package session

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringway/command"
	"ringway/join"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// INFO goes to all shards, and package join joins the replies: most fields are sums. Fields about
// the client's connection, such as the port and the number of clients, are the proxy's own.
// Client libraries read some fields to see whether a Redis is ready (loading, role). So INFO, like
// PING, gets an error if no server can be reached, but for the proxy's own section.

// infoRequest is one INFO under way, and the Receiver of the servers' replies.
type infoRequest struct {
	s       *session
	number  uint32   // of the request in its session
	wanted  []string // the sections asked for, in lower case; none means the default ones
	replies [][]byte // of each server that was asked; nil if it has failed
	left    int      // replies to come
	alive   bool     // a server has replied, or requests wait for one
}

// info runs INFO. A server that can't be asked at once is left out.
func info(s *session, _ *command.Command, args [][]byte, _ []byte) []byte {
	r := &infoRequest{s: s, number: s.push()}
	s.closeWindow() // one INFO at a time: joining the replies is some work in a turn
	for _, arg := range args[1:] {
		r.wanted = append(r.wanted, strings.ToLower(string(arg)))
	}
	var conns []*pipeline.Conn
	for shard := range s.local.Shards() {
		switch conn := s.primaryConn(shard); {
		case s.local.Absent(shard):
		case conn.Full():
			r.alive = true
		case conn.Up():
			conns = append(conns, conn)
		}
	}
	request := resp.AppendRequest(nil, args)
	r.replies, r.left = make([][]byte, len(conns)), len(conns)+1 // 1: this function
	for i, conn := range conns {
		if conn.Send(request, r, uint32(i)) != nil {
			r.countDown()
		}
	}
	r.countDown()
	return nil
}

// Reply implements pipeline.Receiver; the tag is the server's index.
func (r *infoRequest) Reply(tag uint32, b []byte, last bool) {
	r.alive = true
	if len(r.replies[tag]) < maxInfo {
		r.replies[tag] = append(r.replies[tag], b...)
	}
	if last {
		r.countDown()
	}
}

// maxInfo is about the most bytes of one server's INFO that are kept.
const maxInfo = 1 << 20

// Fail implements pipeline.Receiver: the other servers' replies must do.
func (r *infoRequest) Fail(tag uint32, _ *pipeline.Failure, _ []byte) {
	r.replies[tag] = nil
	r.countDown()
}

// countDown counts a reply, and answers the client after the last one.
func (r *infoRequest) countDown() {
	if r.left--; r.left > 0 || !r.s.conn.Open() {
		return
	}
	if !r.alive && !slices.Equal(r.wanted, []string{"ringway"}) {
		r.s.answerAndResume(r.number, resp.AppendError(nil, errNobody.Error()))
		return
	}
	var t join.Info
	answered := 0
	for _, reply := range r.replies {
		if t.Add(reply) {
			answered++
		}
	}
	r.s.answerAndResume(r.number, r.s.protocol.AppendText(nil, r.text(&t, answered)))
}

// text returns the reply: the servers' joined fields t, with the proxy's own ones in place of or
// besides them. answered is how many servers have answered.
func (r *infoRequest) text(t *join.Info, answered int) string {
	s := r.s
	state, c := s.w.host.State(), s.local.Conf()
	turns, longest := s.longTurns()
	own := []struct {
		section string
		fields  [][2]string
	}{
		{"Server", [][2]string{
			{"redis_version", cmp.Or(t.Field("Server", "redis_version"), s.local.Version())}, {"redis_mode", "standalone"}, {"os", runtime.GOOS + " " + runtime.GOARCH}, {"arch_bits", strconv.Itoa(strconv.IntSize)},
			{"multiplexing_api", "epoll"}, {"process_id", strconv.Itoa(os.Getpid())}, {"tcp_port", port(c.Listen.Addr)},
			{"uptime_in_seconds", fmt.Sprint(int(time.Since(state.Started).Seconds()))}, {"uptime_in_days", fmt.Sprint(int(time.Since(state.Started).Hours() / 24))},
			{"proxy", "ringway"},
		}},
		{"Clients", [][2]string{{"connected_clients", fmt.Sprint(state.Clients)}, {"maxclients", fmt.Sprint(state.MaxClients)}}},
		{"Persistence", nil},
		{"Replication", [][2]string{{"role", "master"}}},
		{"Cluster", [][2]string{{"cluster_enabled", "0"}}},
		{"Ringway", [][2]string{
			{"pool", c.Name}, {"config_hash", state.ConfigHash}, {"servers", fmt.Sprint(s.local.Shards())}, {"servers_down", fmt.Sprint(s.local.CountDown())}, {"servers_answered", fmt.Sprint(answered)},
			{"failovers", fmt.Sprint(failovers(s.local))},
			{"control_plane_panics", fmt.Sprint(pool.ControlPanics.Load())},
			{"subscriptions_lost", fmt.Sprint(s.subscriptions.Lost())},
			{"panics", fmt.Sprint(state.Panics)},
			{"long_turns", fmt.Sprint(turns)}, {"longest_turn_usec", fmt.Sprint(longest.Microseconds())},
			{"max_memory", fmt.Sprint(state.MaxMemory)}, {"memory_held", fmt.Sprint(state.MemoryUsed)}, {"clients_closed_for_memory", fmt.Sprint(state.ClosedForMemory)},
		}},
	}
	for _, o := range own {
		if !r.wants(o.section) {
			continue
		}
		if o.section == "Persistence" && !t.HasSection(o.section) {
			o.fields = [][2]string{{"loading", "0"}, {"async_loading", "0"}}
		}
		if o.section == "Replication" && !t.HasSection(o.section) {
			o.fields = append(o.fields, [2]string{"connected_slaves", "0"})
		}
		t.Set(o.section, o.fields)
	}
	t.HideServers(s.local.Shards() > 1)
	return t.String()
}

// failovers returns how often shards of the pool got another primary.
func failovers(l *pool.Local) (n uint64) {
	for _, of := range l.TopologyState().Failovers {
		n += of.Count
	}
	return n
}

// wants reports whether a section was asked for.
func (r *infoRequest) wants(section string) bool {
	name := strings.ToLower(section)
	return len(r.wanted) == 0 || slices.ContainsFunc(r.wanted, func(w string) bool { return w == name || w == "all" || w == "everything" || w == "default" })
}

// port returns the port of a listen address, "0" for a unix socket.
func port(addr string) string {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 || strings.HasPrefix(addr, "/") {
		return "0"
	}
	return addr[i+1:]
}
