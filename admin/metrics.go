package admin

import (
	"runtime"
	"strconv"

	dto "github.com/prometheus/client_model/go"

	"ringway/command"
	"ringway/pool"
	"ringway/server"
	"ringway/stats"
)

// metric is one metric of the proxy. docs/observing.md explains them in the same order.
type metric struct {
	index      int // in allMetrics
	name, help string
	labels     []string
	kind       dto.MetricType
}

// allMetrics are the metrics of the proxy, in the order of this file.
var allMetrics []*metric

func counter(name, help string, labels ...string) *metric {
	return newMetric(dto.MetricType_COUNTER, name, help, labels)
}

func gauge(name, help string, labels ...string) *metric {
	return newMetric(dto.MetricType_GAUGE, name, help, labels)
}

func histogram(name, help string, labels ...string) *metric {
	return newMetric(dto.MetricType_HISTOGRAM, name, help, labels)
}

func newMetric(kind dto.MetricType, name, help string, labels []string) *metric {
	m := &metric{len(allMetrics), "ringway_" + name, help, labels, kind}
	allMetrics = append(allMetrics, m)
	return m
}

// The metrics of the process.
var (
	buildInfo       = gauge("build_info", "The version of Ringway and of Go; always 1.", "version", "goversion")
	configInfo      = gauge("config_info", "The configuration in force, as the first 12 hex digits of the SHA-256 of its file; always 1.", "hash")
	configLoaded    = gauge("config_loaded_time_seconds", "When the configuration was loaded, in Unix time.")
	configReloaded  = gauge("config_last_reload_successful", "Whether the last reload of the configuration took effect: 1, or 0 after a mistake; 1 before the first one.")
	upgradesFailed  = counter("upgrades_failed_total", "Upgrades that this process has begun and that failed.")
	upgradeClients  = counter("upgrade_clients_total", "Clients in upgrades: received from the process whose place this one took, drained there, given to the one that takes this one's place, lost with it.", "outcome")
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
	loopTurn        = histogram("loop_turn_duration_seconds", "How long turns of the event loop took, without the sleep before them.", "loop")
)

// The metrics of pools.
var (
	clients         = gauge("clients", "Clients now.", "pool")
	clientsAccepted = counter("clients_accepted_total", "Clients accepted.", "pool")
	clientsRefused  = counter("clients_refused_total", "Clients turned away because max_clients or client_connections was reached.", "pool")
	clientsDenied   = counter("clients_denied_total", "Clients closed before they were served: network (allow_networks, deny_networks) or header (of the PROXY protocol, missing or invalid).", "pool", "reason")
	limited         = counter("limited_total", "How often a limit was reached, by whose it is (pool, user or network), by its key, and by what became of the request or connection: delayed or refused.", "pool", "of", "limit", "action")
	tlsHandshakes   = counter("tls_handshakes_total", "TLS handshakes with clients that succeeded.", "pool")
	tlsFailures     = counter("tls_handshake_failures_total", "TLS handshakes with clients that failed, by the reason.", "pool", "reason")
	tlsExpires      = gauge("tls_certificate_expiry_timestamp_seconds", "When the certificate that clients are shown expires, in Unix time.", "pool")
	tlsUsable       = gauge("tls_certificate_files_usable", "Whether the files of the certificate can be used: 1, or 0 while clients are shown one that was read before.", "pool")
	clientsClosed   = counter("clients_closed_total", "Clients whose connection was closed, by the reason.", "pool", "reason")
	clientReceived  = counter("client_received_bytes_total", "Bytes of requests.", "pool")
	clientSent      = counter("client_sent_bytes_total", "Bytes of replies and messages that the kernel has taken.", "pool")
	requests        = counter("requests_total", "Requests answered, by command; other stands for commands that Ringway does not know.", "pool", "command")
	requestErrors   = counter("request_errors_total", "Requests answered with an error, by command.", "pool", "command")
	errorReplies    = counter("error_replies_total", "Error replies to clients, by their code.", "pool", "code")
	requestFailures = counter("request_failures_total", "Requests, or parts of one, that no server has answered, by the reason.", "pool", "reason")
	requestDuration = histogram("request_duration_seconds", "From the turn in which a request came to the turn in which its reply left, without commands that may block.", "pool")
	commandDuration = histogram("command_duration_seconds", "The same by command, for commands that may block as well.", "pool", "command")
	poolPaused      = gauge("pool_paused", "Whether PAUSE POOL of the console has the pool's requests wait: 1, or 0.", "pool")
	subsLost        = counter("subscriptions_lost_total", "Connections with subscriptions that were lost, with the messages published until others took their place.", "pool")
)

// The metrics of how primaries change, and of reads that are sent twice. Static pools have none
// of them.
var (
	failovers         = counter("failovers_total", "How often a shard got another primary; of a Cluster, whose shards have no names, all together.", "pool", "shard")
	topologyConfirmed = gauge("topology_confirmed_time_seconds", "When all primaries of the pool last said that they are, in Unix time; 0 for never.", "pool")
	shardsHeld        = gauge("shards_held", "Shards whose new requests wait now, on some event loop, because their primary changes or is not known.", "pool")
	holdDuration      = histogram("hold_duration_seconds", "How long the new requests of a shard waited on an event loop, each time that they did.", "pool")
	redirectionsMade  = counter("redirections_total", "Refusals of servers that were not the client's reply, by the reason: the request was sent elsewhere, or again later.", "pool", "reason")
	requestsResent    = counter("requests_resent_total", "Requests sent after a refusal, or after they had waited for a primary.", "pool")
	hedges            = counter("hedges_total", "Reads sent to a second server after hedge_after.", "pool")
	hedgesWon         = counter("hedges_won_total", "Reads that the second server has answered first.", "pool")
)

// The metrics of servers. A server keeps its name while its role changes; server_info has both.
var (
	serverInfo         = gauge("server_info", "Which shard a server serves, and as what; always 1.", "pool", "server", "shard", "role")
	serverUp           = gauge("server_up", "Whether the server is up: 1, or 0 while it is down or ejected.", "pool", "server")
	serverChanged      = gauge("server_changed_time_seconds", "When the server went down or was restored, in Unix time; 0 if it has always been up.", "pool", "server")
	serverLag          = gauge("server_replication_lag_seconds", "How far a replica that is read is behind its primary, by its last answer.", "pool", "server")
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
	serverDuration     = histogram("server_duration_seconds", "From the turn in which a request was sent to the turn in which its reply came.", "pool", "server")
)

// proxy adds the proxy's metrics.
func (s *scrape) proxy(a *Admin, f *server.Figures) {
	s.send(buildInfo, 1, label("goversion", runtime.Version()), label("version", a.version))
	s.send(configInfo, 1, label("hash", f.Process.ConfigHash))
	s.send(configLoaded, float64(f.Process.Loaded.UnixMilli())/1e3)
	reloaded := 1.0
	if a.process.Reloaded != nil && !a.process.Reloaded() {
		reloaded = 0
	}
	s.send(configReloaded, reloaded)
	s.send(upgradesFailed, float64(f.Upgrades.Failed))
	for _, o := range []struct {
		outcome string
		count   uint64
	}{{"received", f.Upgrades.Received}, {"drained", f.Upgrades.Drained}, {"given", f.Upgrades.Given}, {"lost", f.Upgrades.Lost}} {
		s.send(upgradeClients, float64(o.count), label("outcome", o.outcome))
	}
	s.send(startTime, float64(f.Process.Started.UnixMilli())/1e3)
	s.send(clientsMax, float64(f.Process.MaxClients))
	s.send(memoryHeld, float64(f.Process.MemoryUsed))
	s.send(memoryMax, float64(f.Process.MaxMemory))
	s.send(panicsRecovered, float64(f.Process.Panics))
	s.send(controlPanics, float64(pool.ControlPanics.Load()))
	for i := range f.Loops {
		s.loop(label("loop", strconv.Itoa(i)), &f.Loops[i])
	}
	for i := range f.Pools {
		s.pool(&f.Pools[i])
	}
}

func (s *scrape) loop(loop *dto.LabelPair, l *server.LoopFigures) {
	s.send(loopBusy, l.Counts.Turns.Seconds(), loop)
	s.send(loopClients, float64(l.Clients), loop)
	s.send(loopConnections, float64(l.Connections), loop)
	s.send(loopLongTurns, float64(l.LongTurns), loop)
	s.observe(loopTurn, &l.Counts.Turns, loop)
}

func (s *scrape) pool(p *server.PoolFigures) {
	c, pool := &p.Counts, label("pool", p.Name)
	s.send(clients, float64(p.Clients), pool)
	s.send(clientsAccepted, float64(c.Clients.Connected), pool)
	s.send(clientsRefused, float64(p.Refused), pool)
	s.send(clientsDenied, float64(p.Denied), pool, label("reason", "network"))
	s.send(clientsDenied, float64(p.NoHeader), pool, label("reason", "header"))
	for _, l := range p.Limited {
		s.send(limited, float64(l.Count), label("action", l.Action), label("limit", l.What.String()), label("of", l.Kind.String()), pool)
	}
	if t := p.TLS; t != nil {
		s.send(tlsHandshakes, float64(t.Handshakes), pool)
		for _, f := range t.Failed {
			s.send(tlsFailures, float64(f.Count), pool, label("reason", f.Reason))
		}
		s.send(tlsExpires, float64(t.Expires.Unix()), pool)
		usable := 1.0
		if t.Broken {
			usable = 0
		}
		s.send(tlsUsable, usable, pool)
	}
	for i, n := range c.Clients.Closed {
		s.send(clientsClosed, float64(n), pool, label("reason", stats.CloseReason(i).String()))
	}
	s.send(clientReceived, float64(c.Clients.BytesIn), pool)
	s.send(clientSent, float64(c.Clients.BytesOut), pool)
	for i, n := range c.Requests.Errors {
		if n > 0 {
			s.send(errorReplies, float64(n), label("code", stats.ErrorCodeName(i)), pool)
		}
	}
	for i, n := range c.Requests.Failures {
		s.send(requestFailures, float64(n), pool, label("reason", stats.Failure(i).String()))
	}
	for i, of := range c.Commands {
		if of == nil {
			continue
		}
		name := label("command", commandName(i))
		s.send(requests, float64(of.Latency.Count()), name, pool)
		s.send(requestErrors, float64(of.Errors), name, pool)
		s.observe(commandDuration, &of.Latency, name, pool)
	}
	all := unblockedLatency(p)
	s.observe(requestDuration, &all, pool)
	s.send(subsLost, float64(p.SubscriptionsLost), pool)
	paused := 0.0
	if p.Paused > 0 {
		paused = 1
	}
	s.send(poolPaused, paused, pool)
	if p.Follows {
		s.topology(pool, p)
	}
	for i := range p.Servers {
		s.server(pool, &p.Servers[i])
	}
}

// topology adds what there is of pools whose primaries may change.
func (s *scrape) topology(pool *dto.LabelPair, p *server.PoolFigures) {
	for _, of := range p.Topology.Failovers {
		s.send(failovers, float64(of.Count), pool, label("shard", of.Shard))
	}
	confirmed := 0.0
	if !p.Topology.ConfirmedAt.IsZero() {
		confirmed = float64(p.Topology.ConfirmedAt.UnixMilli()) / 1e3
	}
	s.send(topologyConfirmed, confirmed, pool)
	s.send(shardsHeld, float64(p.ShardsHeld), pool)
	s.observe(holdDuration, &p.Moves.Held, pool)
	for i, n := range p.Moves.Redirections {
		s.send(redirectionsMade, float64(n), pool, label("reason", stats.Redirection(i).String()))
	}
	s.send(requestsResent, float64(p.Moves.Resent), pool)
	s.send(hedges, float64(p.Moves.Hedges), pool)
	s.send(hedgesWon, float64(p.Moves.HedgesWon), pool)
}

func (s *scrape) server(pool *dto.LabelPair, of *server.ServerFigures) {
	c, name := &of.Counts, label("server", of.Name)
	labels := []*dto.LabelPair{pool, name} // shared by all of its metrics
	up, changed := 0.0, 0.0
	if of.Up {
		up = 1
	}
	if !of.Since.IsZero() {
		changed = float64(of.Since.UnixMilli()) / 1e3
	}
	s.send(serverInfo, 1, pool, label("role", of.Role), name, label("shard", of.Shard))
	s.send(serverUp, up, labels...)
	s.send(serverChanged, changed, labels...)
	if of.LagKnown {
		s.send(serverLag, of.Lag.Seconds(), labels...)
	}
	s.send(serverShare, of.Share, labels...)
	s.send(serverEjections, float64(of.Ejections), labels...)
	s.send(serverConnections, float64(of.Queues.Connections), labels...)
	s.send(serverConnects, float64(c.Connects), labels...)
	s.send(serverConnectFails, float64(c.ConnectFails), labels...)
	s.send(serverDisconnects, float64(c.Disconnects), labels...)
	s.send(serverRequests, float64(c.Latency.Count()), labels...)
	s.send(serverErrors, float64(c.Errors), labels...)
	s.send(serverTimeouts, float64(c.Timeouts), labels...)
	s.send(serverSent, float64(c.BytesOut), labels...)
	s.send(serverReceived, float64(c.BytesIn), labels...)
	s.send(serverQueue, float64(of.Queues.Requests), labels...)
	s.send(serverQueueBytes, float64(of.Queues.Bytes), labels...)
	if c.Latency.Count() > 0 { // servers may be hundreds, and a histogram is thirteen lines
		s.observe(serverDuration, &c.Latency, labels...)
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
