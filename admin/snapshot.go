package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"time"

	"ringway/conf"
	"ringway/server"
	"ringway/stats"
)

// snapshot is what the page shows, but for the history: the event "now". Rates are those between the
// last two figures, a second; latencies are in seconds, times in Unix milliseconds.
type snapshot struct {
	At         int64          `json:"at"`
	Version    string         `json:"version"`
	Started    int64          `json:"started"`
	Draining   bool           `json:"draining"`
	Clients    int            `json:"clients"`
	MaxClients int            `json:"maxClients"`
	Memory     int64          `json:"memory"`
	MaxMemory  int64          `json:"maxMemory"`
	Panics     int64          `json:"panics"`
	Statistics bool           `json:"statistics"`
	Pools      []poolSnapshot `json:"pools"`
	Loops      []loopSnapshot `json:"loops"`
	Changes    []change       `json:"changes"` // the newest first
}

type poolSnapshot struct {
	Name         string            `json:"name"`
	Addr         string            `json:"addr"`
	Topology     string            `json:"topology"`
	Distribution string            `json:"distribution"`
	Ejects       bool              `json:"ejects"` // keys of a server that is down move to the others
	Clients      int               `json:"clients"`
	Refused      uint64            `json:"refused"`
	Requests     uint64            `json:"requests"`
	Errors       uint64            `json:"errors"`
	Sample       point             `json:"sample"`
	Servers      []serverSnapshot  `json:"servers"`
	Commands     []commandSnapshot `json:"commands"` // the most calls first
	Failed       []count           `json:"failed"`   // error replies by code, requests without an answer by reason
	Closed       []count           `json:"closed"`   // clients by reason
	HotKeys      []hotKey          `json:"hotKeys"`
	BigValues    []bigValue        `json:"bigValues"` // the largest first
	Slow         []slowRequest     `json:"slow"`      // the slowest first
}

type serverSnapshot struct {
	Name        string  `json:"name"`
	Addr        string  `json:"addr"`
	Shard       string  `json:"shard"`
	Role        string  `json:"role"`
	State       string  `json:"state"` // up, down or unused
	Since       int64   `json:"since"` // 0 if it has always been up
	Why         string  `json:"why"`
	Share       float64 `json:"share"`
	Ejections   uint64  `json:"ejections"`
	Connections int     `json:"connections"`
	Queue       int     `json:"queue"`
	Requests    float64 `json:"requests"`
	Errors      uint64  `json:"errors"`
	Timeouts    uint64  `json:"timeouts"`
	P50         float64 `json:"p50"`
	P99         float64 `json:"p99"`
}

type commandSnapshot struct {
	Name   string  `json:"name"`
	Rate   float64 `json:"rate"`
	Calls  uint64  `json:"calls"`
	Errors uint64  `json:"errors"`
	P50    float64 `json:"p50"`
	P99    float64 `json:"p99"`
}

type loopSnapshot struct {
	Stuck       bool    `json:"stuck"`
	Busy        float64 `json:"busy"`
	Clients     int     `json:"clients"`
	Connections int     `json:"connections"`
	TurnP99     float64 `json:"turnP99"`
	LongTurns   int64   `json:"longTurns"`
	Longest     float64 `json:"longest"`
	Buffers     int     `json:"buffers"`
}

type count struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

type hotKey struct {
	Key      string  `json:"key"`
	Requests float64 `json:"requests"`
	Error    float64 `json:"error"`
	Bytes    float64 `json:"bytes"`
}

// point is a sample as the page's charts want it: time in seconds, requests, errors, bytes in and out
// a second, clients, and the latencies p50 and p99.
type point [8]float64

func (s *sample) point() point {
	return point{math.Round(float64(s.At.UnixMilli())/100) / 10, math.Round(s.Requests), math.Round(s.Errors*10) / 10, math.Round(s.BytesIn), math.Round(s.BytesOut), float64(s.Clients), micros(s.P50), micros(s.P99)}
}

// micros rounds seconds to microseconds.
func micros(seconds float64) float64 { return math.Round(seconds*1e6) / 1e6 }

// Bounds on what one event holds, for each pool.
const (
	shownCommands = 30
	shownHotKeys  = 10
	shownBig      = 10
	shownSlow     = 10
)

// event returns a server-sent event.
func event(name string, data any) []byte {
	text, err := json.Marshal(data)
	if err != nil {
		panic("bug: " + err.Error())
	}
	return slices.Concat([]byte("event: "+name+"\ndata: "), text, []byte("\n\n"))
}

// firstEvents returns what somebody is sent who begins to watch. It is made once for all who begin
// between two samples.
func (a *Admin) firstEvents() []byte {
	a.first.mu.Lock()
	defer a.first.mu.Unlock()
	before, now := a.history.figures()
	if now == nil {
		return []byte(": no figures yet\n\n")
	}
	if a.first.of == now {
		return a.first.events
	}
	points := map[string][]point{}
	for _, p := range now.Pools {
		all := a.history.of(p.Name)
		points[p.Name] = make([]point, len(all))
		for i := range all {
			points[p.Name][i] = all[i].point()
		}
	}
	a.first.of, a.first.events = now, bytes.Join([][]byte{event("history", points), event("now", a.snapshot(before, now))}, nil)
	return a.first.events
}

// snapshot returns what the page shows. before is nil if now are the first figures.
func (a *Admin) snapshot(before, now *server.Figures) *snapshot {
	samePools := before != nil && slices.EqualFunc(before.Pools, now.Pools, func(a, b server.PoolFigures) bool { return a.Name == b.Name })
	if before == nil || !samePools || len(before.Loops) != len(now.Loops) {
		before = now
	}
	p := &now.Process
	s := &snapshot{
		At: now.At.UnixMilli(), Version: a.version, Started: p.Started.UnixMilli(), Draining: a.srv.Draining(),
		Clients: int(p.Clients), MaxClients: int(p.MaxClients), Memory: int64(p.MemoryUsed), MaxMemory: int64(p.MaxMemory), Panics: int64(p.Panics),
		Statistics: a.srv.Conf().Proxy.Statistics, Changes: a.history.lastChanges(),
	}
	seconds := now.At.Sub(before.At).Seconds()
	for i := range now.Pools {
		s.Pools = append(s.Pools, a.poolSnapshot(&before.Pools[i], &now.Pools[i], seconds, a.srv.Conf().Pool(now.Pools[i].Name)))
	}
	for i := range now.Loops {
		s.Loops = append(s.Loops, loopSnapshotOf(&before.Loops[i], &now.Loops[i], now.At))
	}
	return s
}

func (a *Admin) poolSnapshot(before, now *server.PoolFigures, seconds float64, cfg *conf.Pool) poolSnapshot {
	latest := a.history.latest(now.Name)
	p := poolSnapshot{
		Name: now.Name, Addr: now.Addr, Topology: cmp.Or(cfg.Topology, "static"), Distribution: distributionText(cfg), Ejects: cfg.AutoEjectHosts,
		Clients: now.Clients, Refused: now.Refused, Requests: now.Counts.Calls(), Errors: now.Counts.Errors(), Sample: latest.point(),
		Servers: []serverSnapshot{}, Commands: commandSnapshots(before, now, seconds), Failed: []count{}, Closed: []count{}, HotKeys: []hotKey{},
		BigValues: a.bigValues(now.Name), Slow: a.slowRequests(now.Name),
	}
	known := serversByAddr(before)
	for i := range now.Servers {
		p.Servers = append(p.Servers, serverSnapshotOf(known[now.Servers[i].Addr], &now.Servers[i], seconds))
	}
	for i, n := range now.Counts.Requests.Errors {
		p.Failed = appendCount(p.Failed, stats.ErrorCodeName(i), n)
	}
	for i, n := range now.Counts.Requests.Failures {
		p.Failed = appendCount(p.Failed, "no answer: "+stats.Failure(i).String(), n)
	}
	p.Closed = appendCount(p.Closed, "refused: too many", now.Refused)
	p.Closed = appendCount(p.Closed, "refused: network", now.Denied)
	p.Closed = appendCount(p.Closed, "refused: no PROXY header", now.NoHeader)
	for i, n := range now.Counts.Clients.Closed {
		p.Closed = appendCount(p.Closed, stats.CloseReason(i).String(), n)
	}
	for _, k := range a.srv.HotKeys(now.Name, shownHotKeys).ByRequests {
		p.HotKeys = append(p.HotKeys, hotKey{validText(k.Key), math.Round(k.Requests), math.Round(k.RequestsError), math.Round(k.Bytes)})
	}
	return p
}

func appendCount(counts []count, name string, n uint64) []count {
	if n == 0 {
		return counts
	}
	return append(counts, count{name, n})
}

// distributionText says in words how keys find their servers.
func distributionText(cfg *conf.Pool) string {
	if cfg.Topology == conf.Cluster {
		return "16384 slots"
	}
	text := cfg.Distribution + ", " + cfg.Hash
	if cfg.HashTag != "" {
		text += ", hash tag " + cfg.HashTag
	}
	return text
}

func serverSnapshotOf(before, now *server.ServerFigures, seconds float64) serverSnapshot {
	window := now.Counts.Latency
	if before != nil {
		window.Subtract(&before.Counts.Latency)
	}
	s := serverSnapshot{
		Name: now.Name, Addr: now.Addr, Shard: now.Shard, Role: now.Role, State: upText(now), Why: now.Why,
		Share: math.Round(now.Share*1e4) / 1e4, Ejections: now.Ejections, Connections: now.Queues.Connections, Queue: now.Queues.Requests,
		Requests: perSecond(window.Count(), seconds), Errors: now.Counts.Errors, Timeouts: now.Counts.Timeouts, P50: micros(window.Quantile(0.5)), P99: micros(window.Quantile(0.99)),
	}
	if !now.Since.IsZero() {
		s.Since = now.Since.UnixMilli()
	}
	return s
}

func perSecond(n uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return math.Round(float64(n)/seconds*10) / 10
}

func commandSnapshots(before, now *server.PoolFigures, seconds float64) []commandSnapshot {
	commands := []commandSnapshot{}
	for i, c := range now.Counts.Commands {
		if c == nil {
			continue
		}
		window := c.Latency
		if i < len(before.Counts.Commands) && before.Counts.Commands[i] != nil {
			window.Subtract(&before.Counts.Commands[i].Latency)
		}
		commands = append(commands, commandSnapshot{commandName(i), perSecond(window.Count(), seconds), c.Latency.Count(), c.Errors, micros(window.Quantile(0.5)), micros(window.Quantile(0.99))})
	}
	slices.SortStableFunc(commands, func(x, y commandSnapshot) int { return cmp.Compare(y.Calls, x.Calls) })
	return commands[:min(len(commands), shownCommands)]
}

func loopSnapshotOf(before, now *server.LoopFigures, at time.Time) loopSnapshot {
	window := now.Counts.Turns
	window.Subtract(&before.Counts.Turns)
	return loopSnapshot{
		Stuck: now.At.Before(at.Add(-stuckAfter)), Busy: math.Round(now.Busy*100) / 100, Clients: now.Clients, Connections: now.Connections,
		TurnP99: micros(window.Quantile(0.99)), LongTurns: now.LongTurns, Longest: micros(now.LongestTurn.Seconds()), Buffers: now.Lent,
	}
}
