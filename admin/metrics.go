package admin

import (
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"ringway/command"
	"ringway/pool"
	"ringway/server"
	"ringway/stats"
)

// registry returns what /metrics shows: Go's and the process's own metrics, and the proxy's.
func (a *Admin) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector(), &collector{a, a.srv.Figures})
	return r
}

// metric is one metric of the proxy. docs/observing.md explains them in the same order.
type metric struct {
	name, help string
	labels     []string
	desc       *prometheus.Desc
	kind       prometheus.ValueType
}

func counter(name, help string, labels ...string) metric {
	return newMetric(prometheus.CounterValue, name, help, labels)
}

func gauge(name, help string, labels ...string) metric {
	return newMetric(prometheus.GaugeValue, name, help, labels)
}

func newMetric(kind prometheus.ValueType, name, help string, labels []string) metric {
	name = "ringway_" + name
	return metric{name, help, labels, prometheus.NewDesc(name, help, labels, nil), kind}
}

// The metrics of the process.
var (
	buildInfo       = gauge("build_info", "The version of Ringway and of Go; always 1.", "version", "goversion")
	configInfo      = gauge("config_info", "The configuration in force, as the first 12 hex digits of the SHA-256 of its file; always 1.", "hash")
	configLoaded    = gauge("config_loaded_time_seconds", "When the configuration was loaded, in Unix time.")
	startTime       = gauge("start_time_seconds", "When the proxy started, in Unix time.")
	clientsMax      = gauge("clients_max", "Bound on clients of all pools together: max_clients, or less if the limit of open files is lower.")
	memoryHeld      = gauge("memory_held_bytes", "Bytes held for clients and servers, which max_memory bounds.")
	memoryMax       = gauge("memory_max_bytes", "Bound on memory_held_bytes: max_memory.")
	panicsRecovered = counter("panics_total", "Panics of event loops, each a bug, after which the loop went on.")
	controlPanics   = counter("control_plane_panics_total", "Panics of what finds out who is primary, each a bug, after which its work began anew.")
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
	subsLost        = counter("subscriptions_lost_total", "Connections with subscriptions that were lost, with the messages published until others took their place.", "pool")
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
	buildInfo, configInfo, configLoaded, startTime, clientsMax, memoryHeld, memoryMax, panicsRecovered, controlPanics,
	loopBusy, loopClients, loopConnections, loopLongTurns, loopTurn,
	clients, clientsAccepted, clientsRefused, clientsClosed, clientReceived, clientSent, requests, requestErrors, errorReplies, requestFailures, requestDuration, commandDuration, subsLost,
	serverInfo, serverUp, serverChanged, serverShare, serverEjections, serverConnections, serverConnects, serverConnectFails, serverDisconnects, serverRequests, serverErrors, serverTimeouts,
	serverSent, serverReceived, serverQueue, serverQueueBytes, serverDuration,
}

// collector is the proxy's prometheus.Collector.
type collector struct {
	a       *Admin
	figures func() *server.Figures
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range allMetrics {
		to <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	f := c.figures()
	out := output{to}
	out.send(buildInfo, 1, label("goversion", runtime.Version()), label("version", c.a.version))
	out.send(configInfo, 1, label("hash", c.a.conf.Hash))
	out.send(configLoaded, float64(c.a.loaded.UnixMilli())/1e3)
	out.send(startTime, float64(f.Process.Started.UnixMilli())/1e3)
	out.send(clientsMax, float64(f.Process.MaxClients))
	out.send(memoryHeld, float64(f.Process.MemoryUsed))
	out.send(memoryMax, float64(f.Process.MaxMemory))
	out.send(panicsRecovered, float64(f.Process.Panics))
	out.send(controlPanics, float64(pool.ControlPanics.Load()))
	for i := range f.Loops {
		out.loop(label("loop", strconv.Itoa(i)), &f.Loops[i])
	}
	for i := range f.Pools {
		out.pool(&f.Pools[i])
	}
}

// output is where Collect sends metrics.
type output struct{ to chan<- prometheus.Metric }

// send sends a value. The labels are in the order of their names, and their number is that of m.labels.
func (o output) send(m metric, value float64, labels ...*dto.LabelPair) {
	o.to <- &series{m: m, value: value, labels: labels}
}

// histogram sends a histogram.
func (o output) histogram(m metric, h *stats.Histogram, labels ...*dto.LabelPair) {
	o.to <- &series{m: m, histogram: bothForms(h), labels: labels}
}

func (o output) loop(loop *dto.LabelPair, l *server.LoopFigures) {
	o.send(loopBusy, l.Counts.Turns.Seconds(), loop)
	o.send(loopClients, float64(l.Clients), loop)
	o.send(loopConnections, float64(l.Connections), loop)
	o.send(loopLongTurns, float64(l.LongTurns), loop)
	o.histogram(loopTurn, &l.Counts.Turns, loop)
}

func (o output) pool(p *server.PoolFigures) {
	c, pool := &p.Counts, label("pool", p.Name)
	o.send(clients, float64(p.Clients), pool)
	o.send(clientsAccepted, float64(c.Clients.Connected), pool)
	o.send(clientsRefused, float64(p.Refused), pool)
	for i, n := range c.Clients.Closed {
		o.send(clientsClosed, float64(n), pool, label("reason", stats.CloseReason(i).String()))
	}
	o.send(clientReceived, float64(c.Clients.BytesIn), pool)
	o.send(clientSent, float64(c.Clients.BytesOut), pool)
	for i, n := range c.Requests.Errors {
		if n > 0 {
			o.send(errorReplies, float64(n), label("code", stats.ErrorCodeName(i)), pool)
		}
	}
	for i, n := range c.Requests.Failures {
		o.send(requestFailures, float64(n), pool, label("reason", stats.Failure(i).String()))
	}
	for i, of := range c.Commands {
		if of == nil {
			continue
		}
		name := label("command", commandName(i))
		o.send(requests, float64(of.Latency.Count()), name, pool)
		o.send(requestErrors, float64(of.Errors), name, pool)
		o.histogram(commandDuration, &of.Latency, name, pool)
	}
	all := unblockedLatency(p)
	o.histogram(requestDuration, &all, pool)
	o.send(subsLost, float64(p.SubscriptionsLost), pool)
	for i := range p.Servers {
		o.server(pool, &p.Servers[i])
	}
}

func (o output) server(pool *dto.LabelPair, s *server.ServerFigures) {
	c, name := &s.Counts, label("server", s.Name)
	up, changed := 0.0, 0.0
	if s.Up {
		up = 1
	}
	if !s.Since.IsZero() {
		changed = float64(s.Since.UnixMilli()) / 1e3
	}
	o.send(serverInfo, 1, pool, label("role", s.Role), name, label("shard", s.Shard))
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
	if c.Latency.Count() > 0 { // servers may be hundreds, and a histogram is seventeen lines
		o.histogram(serverDuration, &c.Latency, pool, name)
	}
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
