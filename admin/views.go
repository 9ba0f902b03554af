package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringway/server"
	"ringway/stats"
)

// view is one table of the console: SHOW NAME.
type view struct {
	name    string
	about   string
	columns []string
	rows    func(a *Admin) [][]any // a value for each column: text, int, int64, uint64, or a type of format.go
}

// views returns all tables, in the order of HELP.
func views() []view {
	return []view{
		{"POOLS", "pools: clients, rates, latency", []string{"pool", "listen", "clients", "requests/s", "errors/s", "in/s", "out/s", "p50", "p99", "requests", "errors", "paused for"}, (*Admin).poolRows},
		{"SERVERS", "servers: state, connections, queues, latency", []string{"pool", "server", "addr", "role", "up", "since", "why", "share", "ejections", "connections", "queue", "requests/s", "p50 now", "p99 now", "requests", "errors", "timeouts", "p50", "p99"}, (*Admin).serverRows},
		{"SHARDS", "shards: who serves them, since when, and what requests experience", []string{"pool", "shard", "state", "primary", "since", "replicas", "share", "slots", "why"}, (*Admin).shardRows},
		{"TOPOLOGY", "pools: what kind they are, where their primaries are learnt from, what changed last", []string{"pool", "topology", "learnt from", "shards", "serving", "replicas", "slots", "keys", "last change", "ago"}, (*Admin).topologyRows},
		{"CLIENTS", "clients, as CLIENT LIST has them: 500 of each loop at most", []string{"client"}, (*Admin).clientRows},
		{"COMMANDS", "commands in use: calls, errors, latency", []string{"pool", "command", "calls/s", "p50 now", "p99 now", "calls", "errors", "p50", "p99", "p99.9"}, (*Admin).commandRows},
		{"HOTKEYS", "keys with most requests in the last one or two seconds, and by how much that may be wrong", []string{"pool", "key", "requests/s", "+-", "bytes/s", "+-bytes"}, (*Admin).hotKeyRows},
		{"BIGKEYS", "largest requests and replies of the last ten to twenty minutes", []string{"pool", "key", "command", "what", "bytes", "ago", "client"}, (*Admin).bigKeyRows},
		{"SLOW", "slowest requests of the last ten to twenty minutes, and where their time went", []string{"pool", "command", "key", "took", "waited", "served", "read", "server", "client", "ago"}, (*Admin).slowRows},
		{"ERRORS", "error replies by code, and requests that no server has answered by reason", []string{"pool", "kind", "name", "count"}, (*Admin).errorRows},
		{"LATENCY", "how long requests took", []string{"pool", "requests", "p50", "p90", "p99", "p99.9", "max"}, (*Admin).latencyRows},
		{"CLOSED", "why clients' connections were closed", []string{"pool", "reason", "clients"}, (*Admin).closedRows},
		{"LOOPS", "event loops: clients, load, turns", []string{"loop", "clients", "connections", "busy", "turns", "turn p99", "long turns", "longest", "buffers"}, (*Admin).loopRows},
		{"MEM", "memory that is held for clients and servers", []string{"what", "bytes"}, (*Admin).memoryRows},
		{"CONFIG", "the configuration in force", []string{"what", "value"}, (*Admin).configRows},
		{"FILE", "the text of the configuration in force, without passwords and comments", []string{"line"}, (*Admin).fileRows},
		{"VERSION", "this process", []string{"what", "value"}, (*Admin).versionRows},
	}
}

func (a *Admin) poolRows() (rows [][]any) {
	for _, p := range a.srv.Figures().Pools {
		now := a.history.latest(p.Name)
		rows = append(rows, []any{p.Name, p.Addr, p.Clients, rate(now.Requests), rate(now.Errors), byteRate(now.BytesIn), byteRate(now.BytesOut), duration(now.P50), duration(now.P99), p.Counts.Calls(), p.Counts.Errors(), seconds(p.Paused)})
	}
	return rows
}

func (a *Admin) serverRows() (rows [][]any) {
	for _, p := range a.srv.Figures().Pools {
		recent := a.recent(p.Name)
		for i := range p.Servers {
			s := &p.Servers[i]
			h, now := &s.Counts.Latency, recent.server(s.Addr)
			rows = append(rows, []any{
				p.Name, s.Name, s.Addr, s.Role, upText(s), since(s.Since), s.Why, ratio(s.Share), s.Ejections, s.Queues.Connections, s.Queues.Requests, now.requests, now.p50, now.p99,
				h.Count(), s.Counts.Errors, s.Counts.Timeouts, duration(h.Quantile(0.5)), duration(h.Quantile(0.99)),
			})
		}
	}
	return rows
}

func upText(s *server.ServerFigures) string {
	switch {
	case s.Up:
		return "up"
	case s.Role == "":
		return "unused"
	}
	return "down"
}

func (a *Admin) commandRows() (rows [][]any) {
	for _, p := range a.srv.Figures().Pools {
		first, recent := len(rows), a.recent(p.Name)
		for i, c := range p.Counts.Commands {
			if c != nil {
				h, now := &c.Latency, recent.command(i)
				rows = append(rows, []any{p.Name, commandName(i), now.requests, now.p50, now.p99, h.Count(), c.Errors, duration(h.Quantile(0.5)), duration(h.Quantile(0.99)), duration(h.Quantile(0.999))})
			}
		}
		slices.SortStableFunc(rows[first:], func(x, y []any) int { return cmp.Compare(y[5].(uint64), x[5].(uint64)) })
	}
	return rows
}

// topRows is how many rows of each pool SHOW HOTKEYS, BIGKEYS and SLOW have, of each kind.
const topRows = 20

func (a *Admin) hotKeyRows() (rows [][]any) {
	for _, p := range a.srv.Pools() {
		name := p.Conf().Name
		for _, k := range a.srv.HotKeys(name, topRows).ByRequests {
			rows = append(rows, []any{name, k.Key, rate(k.Requests), rate(k.RequestsError), byteRate(k.Bytes), byteRate(k.BytesError)})
		}
	}
	return rows
}

func (a *Admin) bigKeyRows() (rows [][]any) {
	for _, p := range a.srv.Pools() {
		name := p.Conf().Name
		requests, replies := a.srv.BigValues(name, topRows)
		for what, values := range map[string][]stats.BigValue{"request": requests, "reply": replies} {
			for _, v := range values {
				rows = append(rows, []any{name, v.Key, v.Command, what, v.Size, since(v.At), v.Client})
			}
		}
	}
	slices.SortStableFunc(rows, func(x, y []any) int { return cmp.Compare(y[4].(int), x[4].(int)) })
	return rows
}

func (a *Admin) slowRows() (rows [][]any) {
	for _, p := range a.srv.Pools() {
		name := p.Conf().Name
		slowest, _ := a.srv.SlowRequests(name, topRows)
		for _, r := range slowest {
			rows = append(rows, []any{name, r.Command, r.Key, seconds(r.Total()), seconds(r.Waited), seconds(r.Served), seconds(r.Read), r.Server, r.Client, since(r.At)})
		}
	}
	return rows
}

func (a *Admin) errorRows() (rows [][]any) {
	for _, p := range a.srv.Figures().Pools {
		for i, n := range p.Counts.Requests.Errors {
			if n > 0 {
				rows = append(rows, []any{p.Name, "code", stats.ErrorCodeName(i), n})
			}
		}
		for i, n := range p.Counts.Requests.Failures {
			if n > 0 {
				rows = append(rows, []any{p.Name, "reason", stats.Failure(i).String(), n})
			}
		}
	}
	return rows
}

func (a *Admin) latencyRows() (rows [][]any) {
	for _, p := range a.srv.Figures().Pools {
		h := unblockedLatency(&p)
		rows = append(rows, []any{p.Name, h.Count(), duration(h.Quantile(0.5)), duration(h.Quantile(0.9)), duration(h.Quantile(0.99)), duration(h.Quantile(0.999)), duration(h.Quantile(1))})
	}
	return rows
}

func (a *Admin) closedRows() (rows [][]any) {
	for _, p := range a.srv.Figures().Pools {
		rows = append(rows, []any{p.Name, "refused: too many", p.Refused})
		for i, n := range p.Counts.Clients.Closed {
			if n > 0 {
				rows = append(rows, []any{p.Name, stats.CloseReason(i).String(), n})
			}
		}
	}
	return rows
}

func (a *Admin) loopRows() (rows [][]any) {
	for i, l := range a.srv.Figures().Loops {
		rows = append(rows, []any{i, l.Clients, l.Connections, ratio(l.Busy), l.Counts.Turns.Count(), duration(l.Counts.Turns.Quantile(0.99)), l.LongTurns, seconds(l.LongestTurn), l.Lent})
	}
	return rows
}

// maxClientLines bounds SHOW CLIENTS for each loop: the loop writes them in portions, over several turns.
const maxClientLines = 500

func (a *Admin) clientRows() (rows [][]any) {
	for _, line := range a.srv.ClientLines(maxClientLines) {
		rows = append(rows, []any{strings.TrimSpace(line)})
	}
	return rows
}

func (a *Admin) memoryRows() [][]any {
	f := a.srv.Figures()
	rows := [][]any{{"held for clients and servers", f.Process.MemoryUsed}, {"max_memory", f.Process.MaxMemory}, {"clients closed for memory", f.Process.ClosedForMemory}}
	for i, l := range f.Loops {
		rows = append(rows, []any{fmt.Sprint("buffers of loop ", i), l.Lent})
	}
	return rows
}

func (a *Admin) configRows() [][]any {
	cfg := a.srv.Conf()
	rows := [][]any{{"file", cfg.Path}, {"hash", cfg.Hash}, {"loaded", a.srv.State().Loaded.Format(time.RFC3339)}, {"last reload", a.lastReload()}}
	for i := range cfg.Pools {
		p := &cfg.Pools[i]
		rows = append(rows, []any{"pool " + p.Name, fmt.Sprintf("%s, %s %s, hash_tag %q, %d servers", cmp.Or(p.Topology, "static"), p.Distribution, p.Hash, p.HashTag, max(len(p.Servers), len(p.Shards)))})
	}
	return rows
}

// lastReload returns what has become of the last reload.
func (a *Admin) lastReload() string {
	if a.process.Reloaded == nil || a.process.Reloaded() {
		return "ok"
	}
	return "failed: the log says why"
}

// fileRows has a row for each line of the configuration; none if it is not in TOML.
func (a *Admin) fileRows() (rows [][]any) {
	for line := range strings.Lines(a.srv.Conf().Text()) {
		rows = append(rows, []any{strings.TrimRight(line, "\r\n")})
	}
	return rows
}

func (a *Admin) versionRows() [][]any {
	f := a.srv.Figures()
	return [][]any{{"version", a.version}, {"up", since(f.Process.Started)}, {"clients", f.Process.Clients}, {"max_clients", f.Process.MaxClients}, {"panics", f.Process.Panics}}
}
