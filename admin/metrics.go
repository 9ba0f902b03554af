package admin

import (
	"math"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"ringway/command"
	"ringway/server"
	"ringway/stats"
)

// registry returns what /metrics shows: Go's and the process's own metrics, and the proxy's.
func (a *Admin) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector(), &collector{a})
	return r
}

// metric is one metric of the proxy. docs/observing.md explains them in the same order.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func counter(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("ringway_"+name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("ringway_"+name, help, labels, nil), prometheus.GaugeValue}
}

// The metrics of the process.
var (
	startTime       = gauge("start_time_seconds", "When the proxy started, in Unix time.")
	clientsMax      = gauge("clients_max", "Bound on clients of all pools together: max_clients, or less if the limit of open files is lower.")
	memoryHeld      = gauge("memory_held_bytes", "Bytes held for clients and servers, which max_memory bounds.")
	memoryMax       = gauge("memory_max_bytes", "Bound on memory_held_bytes: max_memory.")
	panicsRecovered = counter("panics_total", "Panics of event loops, each a bug, after which the loop went on.")
)

// The metrics of event loops.
var (
	loopBusy        = counter("loop_busy_seconds_total", "Time in which the event loop was not asleep.", "loop")
	loopClients     = gauge("loop_clients", "Clients on the event loop.", "loop")
	loopConnections = gauge("loop_connections", "Open connections of the event loop, to clients and servers.", "loop")
	loopLongTurns   = counter("loop_long_turns_total", "Turns of 10 ms or more, in which all other clients of the event loop waited.", "loop")
	loopTurn        = counter("loop_turn_duration_seconds", "How long turns of the event loop took, without the sleep before them.", "loop")
)

// The metrics of pools.
var (
	clients         = gauge("clients", "Clients now.", "pool")
	clientsAccepted = counter("clients_accepted_total", "Clients accepted.", "pool")
	clientsRefused  = counter("clients_refused_total", "Clients turned away because max_clients or client_connections was reached.", "pool")
	clientsClosed   = counter("clients_closed_total", "Clients whose connection was closed, by the reason.", "pool", "reason")
	clientReceived  = counter("client_received_bytes_total", "Bytes of requests.", "pool")
	clientSent      = counter("client_sent_bytes_total", "Bytes of replies and messages that the kernel has taken.", "pool")
	requests        = counter("requests_total", "Requests answered, by command; other stands for commands that Ringway does not know.", "pool", "command")
	requestErrors   = counter("request_errors_total", "Requests answered with an error, by command.", "pool", "command")
	errorReplies    = counter("error_replies_total", "Error replies to clients, by their code.", "pool", "code")
	requestFailures = counter("request_failures_total", "Requests, or parts of one, that no server has answered, by the reason.", "pool", "reason")
	requestDuration = counter("request_duration_seconds", "From the turn in which a request came to the turn in which its reply left, without commands that may block.", "pool")
	commandDuration = counter("command_duration_seconds", "The same by command, for commands that may block as well.", "pool", "command")
)

// The metrics of servers. A server keeps its name while its role changes; server_info has both.
var (
	serverInfo         = gauge("server_info", "Which shard a server serves, and as what; always 1.", "pool", "server", "shard", "role")
	serverUp           = gauge("server_up", "Whether the server is up: 1, or 0 while it is down or ejected.", "pool", "server")
	serverChanged      = gauge("server_changed_time_seconds", "When the server went down or was restored, in Unix time; 0 if it has always been up.", "pool", "server")
	serverShare        = gauge("server_hash_space_ratio", "Part of the ring or of the slots that the server owns.", "pool", "server")
	serverEjections    = counter("server_ejections_total", "How often the server was taken down after failures.", "pool", "server")
	serverConnections  = gauge("server_connections", "Open connections to the server that carry requests.", "pool", "server")
	serverConnects     = counter("server_connects_total", "Connections made to the server.", "pool", "server")
	serverConnectFails = counter("server_connect_failures_total", "Attempts to connect that failed.", "pool", "server")
	serverDisconnects  = counter("server_disconnects_total", "Connections that were lost.", "pool", "server")
	serverRequests     = counter("server_requests_total", "Requests that the server has answered.", "pool", "server")
	serverErrors       = counter("server_errors_total", "Error replies of the server.", "pool", "server")
	serverTimeouts     = counter("server_timeouts_total", "Requests without a reply within timeout.", "pool", "server")
	serverSent         = counter("server_sent_bytes_total", "Bytes of requests that the kernel has taken.", "pool", "server")
	serverReceived     = counter("server_received_bytes_total", "Bytes of replies.", "pool", "server")
	serverQueue        = gauge("server_queue_requests", "Requests that await their replies.", "pool", "server")
	serverQueueBytes   = gauge("server_queue_bytes", "Bytes of requests that are not written yet.", "pool", "server")
	serverDuration     = counter("server_duration_seconds", "From the turn in which a request was sent to the turn in which its reply came.", "pool", "server")
)

var allMetrics = []metric{
	startTime, clientsMax, memoryHeld, memoryMax, panicsRecovered,
	loopBusy, loopClients, loopConnections, loopLongTurns, loopTurn,
	clients, clientsAccepted, clientsRefused, clientsClosed, clientReceived, clientSent, requests, requestErrors, errorReplies, requestFailures, requestDuration, commandDuration,
	serverInfo, serverUp, serverChanged, serverShare, serverEjections, serverConnections, serverConnects, serverConnectFails, serverDisconnects, serverRequests, serverErrors, serverTimeouts,
	serverSent, serverReceived, serverQueue, serverQueueBytes, serverDuration,
}

// collector is the proxy's prometheus.Collector.
type collector struct{ a *Admin }

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range allMetrics {
		to <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	f := c.a.srv.Figures()
	out := output{to, f.Process.Started}
	out.send(startTime, float64(f.Process.Started.UnixMilli())/1e3)
	out.send(clientsMax, float64(f.Process.MaxClients))
	out.send(memoryHeld, float64(f.Process.MemoryUsed))
	out.send(memoryMax, float64(f.Process.MaxMemory))
	out.send(panicsRecovered, float64(f.Process.Panics))
	for i := range f.Loops {
		out.loop(strconv.Itoa(i), &f.Loops[i])
	}
	for i := range f.Pools {
		out.pool(&f.Pools[i])
	}
}

// output is where Collect sends metrics.
type output struct {
	to      chan<- prometheus.Metric
	started time.Time // of the process
}

func (o output) send(m metric, value float64, labels ...string) {
	o.to <- prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...)
}

func (o output) loop(loop string, l *server.LoopFigures) {
	o.send(loopBusy, l.Counts.Turns.Seconds(), loop)
	o.send(loopClients, float64(l.Clients), loop)
	o.send(loopConnections, float64(l.Connections), loop)
	o.send(loopLongTurns, float64(l.LongTurns), loop)
	o.histogram(loopTurn, &l.Counts.Turns, loop)
}

func (o output) pool(p *server.PoolFigures) {
	c := &p.Counts
	o.send(clients, float64(p.Clients), p.Name)
	o.send(clientsAccepted, float64(c.Clients.Connected), p.Name)
	o.send(clientsRefused, float64(p.Refused), p.Name)
	for i, n := range c.Clients.Closed {
		o.send(clientsClosed, float64(n), p.Name, stats.CloseReason(i).String())
	}
	o.send(clientReceived, float64(c.Clients.BytesIn), p.Name)
	o.send(clientSent, float64(c.Clients.BytesOut), p.Name)
	for i, n := range c.Requests.Errors {
		if n > 0 {
			o.send(errorReplies, float64(n), p.Name, stats.ErrorCodeName(i))
		}
	}
	for i, n := range c.Requests.Failures {
		o.send(requestFailures, float64(n), p.Name, stats.Failure(i).String())
	}
	for i, of := range c.Commands {
		if of == nil {
			continue
		}
		name := commandName(i)
		o.send(requests, float64(of.Latency.Count()), p.Name, name)
		o.send(requestErrors, float64(of.Errors), p.Name, name)
		o.histogram(commandDuration, &of.Latency, p.Name, name)
	}
	all := unblockedLatency(p)
	o.histogram(requestDuration, &all, p.Name)
	for i := range p.Servers {
		o.server(p.Name, &p.Servers[i])
	}
}

func (o output) server(pool string, s *server.ServerFigures) {
	c, name := &s.Counts, s.Name
	up, changed := 0.0, 0.0
	if s.Up {
		up = 1
	}
	if !s.Since.IsZero() {
		changed = float64(s.Since.UnixMilli()) / 1e3
	}
	o.send(serverInfo, 1, pool, name, s.Shard, s.Role)
	o.send(serverUp, up, pool, name)
	o.send(serverChanged, changed, pool, name)
	o.send(serverShare, s.Share, pool, name)
	o.send(serverEjections, float64(s.Ejections), pool, name)
	o.send(serverConnections, float64(s.Queues.Connections), pool, name)
	o.send(serverConnects, float64(c.Connects), pool, name)
	o.send(serverConnectFails, float64(c.ConnectFails), pool, name)
	o.send(serverDisconnects, float64(c.Disconnects), pool, name)
	o.send(serverRequests, float64(c.Latency.Count()), pool, name)
	o.send(serverErrors, float64(c.Errors), pool, name)
	o.send(serverTimeouts, float64(c.Timeouts), pool, name)
	o.send(serverSent, float64(c.BytesOut), pool, name)
	o.send(serverReceived, float64(c.BytesIn), pool, name)
	o.send(serverQueue, float64(s.Queues.Requests), pool, name)
	o.send(serverQueueBytes, float64(s.Queues.Bytes), pool, name)
	o.histogram(serverDuration, &c.Latency, pool, name)
}

// commandName returns the name of the command that the statistics know by a number.
func commandName(number int) string {
	if number == 0 {
		return "other"
	}
	return command.ByID(number - 1).Name
}

// mayBlock reports whether a command, by its number in the statistics, may wait for something that
// is not there yet.
func mayBlock(number int) bool { return number > 0 && command.ByID(number-1).IsBlocking() }

// classicBounds are the upper bounds of the buckets that scrapers get which do not know native
// histograms, in seconds: from what a busy loop takes to what clients wait.
var classicBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// histogram sends a histogram in both forms.
func (o output) histogram(m metric, h *stats.Histogram, labels ...string) {
	classic, native := make(map[float64]uint64, len(classicBounds)), map[int]int64{}
	var count, below uint64
	at := 0
	for i, n := range h.Counts {
		if n == 0 {
			continue
		}
		low, high := stats.Bounds(i)
		for at < len(classicBounds) && (low+high)/2 > classicBounds[at] {
			classic[classicBounds[at]] = count
			at++
		}
		count += n
		if low == 0 {
			below += n
			continue
		}
		native[nativeBucket((low+high)/2)] += int64(n)
	}
	for ; at < len(classicBounds); at++ {
		classic[classicBounds[at]] = count
	}
	o.to <- both{
		prometheus.MustNewConstHistogram(m.desc, count, h.Seconds(), classic, labels...),
		prometheus.MustNewConstNativeHistogram(m.desc, count, h.Seconds(), native, nil, below, nativeSchema, zeroThreshold, o.started, labels...),
	}
}

// Native histograms have eight buckets for a power of two, which are 9 % wide. What is less than
// zeroThreshold, in seconds, is less than the clock tells apart.
const (
	nativeSchema  = 3
	zeroThreshold = stats.Unit / 1e9
)

// nativeBucket returns the index of the native bucket of a duration in seconds.
func nativeBucket(v float64) int { return int(math.Ceil(math.Log2(v) * (1 << nativeSchema))) }

// both is a histogram in both forms.
type both struct{ classic, native prometheus.Metric }

// Desc implements prometheus.Metric.
func (m both) Desc() *prometheus.Desc { return m.classic.Desc() }

// Write implements prometheus.Metric.
func (m both) Write(to *dto.Metric) error {
	var native dto.Metric
	if err := m.native.Write(&native); err != nil {
		return err
	}
	if err := m.classic.Write(to); err != nil {
		return err
	}
	h, n := to.Histogram, native.Histogram
	h.Schema, h.ZeroThreshold, h.ZeroCount, h.CreatedTimestamp = n.Schema, n.ZeroThreshold, n.ZeroCount, n.CreatedTimestamp
	h.PositiveSpan, h.PositiveDelta = n.PositiveSpan, n.PositiveDelta
	return nil
}
