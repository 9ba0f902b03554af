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

// INFO is asked of all shards and joined: most fields are sums, and what concerns
// the connection, such as the port and the number of clients, is the proxy's.
// Clients look at some fields to see whether a Redis is ready; they get them even
// if no server answers.

// infoRequest is one INFO under way.
type infoRequest struct {
	s       *session
	number  uint32 // of the request in its session
	wanted  []string
	replies [][]byte // of each server that was asked; nil if it has failed
	left    int
}

func info(s *session, _ *command.Command, args [][]byte, _ []byte) []byte {
	r := &infoRequest{s: s, number: s.push()}
	s.hold() // to join what the servers say is some work, and many INFOs would hold up others
	for _, arg := range args[1:] {
		r.wanted = append(r.wanted, strings.ToLower(string(arg)))
	}
	var conns []*pipeline.Conn
	for shard := range s.local.Shards() {
		if conn := s.to(shard); !s.local.Absent(shard) && conn.Up() && !conn.Full() {
			conns = append(conns, conn)
		}
	}
	request := resp.AppendRequest(nil, args)
	r.replies, r.left = make([][]byte, len(conns)), len(conns)+1
	for i, conn := range conns {
		if conn.Send(request, r, uint32(i)) != nil {
			r.countDown()
		}
	}
	r.countDown()
	return nil
}

// Reply is pipeline.Receiver's; the tag is the server's index.
func (r *infoRequest) Reply(tag uint32, b []byte, last bool) {
	if len(r.replies[tag]) < maxInfo {
		r.replies[tag] = append(r.replies[tag], b...)
	}
	if last {
		r.countDown()
	}
}

// maxInfo is about the most that one server may say.
const maxInfo = 1 << 20

// Fail is pipeline.Receiver's: what the others say must do.
func (r *infoRequest) Fail(tag uint32, _ *pipeline.Failure, _ []byte) {
	r.replies[tag] = nil
	r.countDown()
}

func (r *infoRequest) countDown() {
	if r.left--; r.left > 0 || !r.s.conn.Open() {
		return
	}
	var t join.Info
	answered := 0
	for _, reply := range r.replies {
		if t.Add(reply) {
			answered++
		}
	}
	r.s.answerHeld(r.number, r.s.protocol.AppendText(nil, r.join(&t, answered)))
}

// join adds what the proxy knows of itself.
func (r *infoRequest) join(t *join.Info, answered int) string {
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
			{"pool", c.Name}, {"servers", fmt.Sprint(s.local.Shards())}, {"servers_down", fmt.Sprint(s.local.CountDown())}, {"servers_answered", fmt.Sprint(answered)},
			{"control_plane_panics", fmt.Sprint(pool.ControlPanics.Load())},
			{"subscriptions_lost", fmt.Sprint(s.subscriptions.Lost())},
			{"panics", fmt.Sprint(state.Panics)},
			{"long_turns", fmt.Sprint(turns)}, {"longest_turn_usec", fmt.Sprint(longest.Microseconds())},
			{"max_memory", fmt.Sprint(state.MaxMemory)}, {"memory_held", fmt.Sprint(state.Held)}, {"clients_closed_for_memory", fmt.Sprint(state.ClosedForMemory)},
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

// wants tells whether a section was asked for.
func (r *infoRequest) wants(section string) bool {
	name := strings.ToLower(section)
	return len(r.wanted) == 0 || slices.ContainsFunc(r.wanted, func(w string) bool { return w == name || w == "all" || w == "everything" || w == "default" })
}

func port(addr string) string {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 || strings.HasPrefix(addr, "/") {
		return "0"
	}
	return addr[i+1:]
}
