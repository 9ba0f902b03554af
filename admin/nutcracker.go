package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"ringway/conf"
	"ringway/server"
	"ringway/stats"
)

// poolField and serverField are figures of nutcracker's statistics, in its order and with its names
// and descriptions.
type poolField struct {
	name, about string
	value       func(p *server.PoolFigures, c *conf.Pool) uint64
}

type serverField struct {
	name, about string
	value       func(s *server.ServerFigures, c *conf.Pool) uint64
}

var poolFields = []poolField{
	{"client_eof", "# eof on client connections", func(p *server.PoolFigures, _ *conf.Pool) uint64 { return orderly(p) }},
	{"client_err", "# errors on client connections", func(p *server.PoolFigures, _ *conf.Pool) uint64 { return closed(p) - orderly(p) }},
	{"client_connections", "# active client connections", func(p *server.PoolFigures, _ *conf.Pool) uint64 { return uint64(max(0, p.Clients)) }},
	{"server_ejects", "# times backend server was ejected", ejects},
	{"forward_error", "# times we encountered a forwarding error", func(p *server.PoolFigures, _ *conf.Pool) uint64 { return sum(p.Counts.Requests.Failures[:]) }},
	{"fragments", "# fragments created from a multi-vector request", func(p *server.PoolFigures, _ *conf.Pool) uint64 { return p.Counts.Requests.Fragments }},
}

var serverFields = []serverField{
	{"server_eof", "# eof on server connections", func(s *server.ServerFigures, _ *conf.Pool) uint64 { return s.Counts.Closed }},
	{"server_err", "# errors on server connections", func(s *server.ServerFigures, _ *conf.Pool) uint64 {
		return s.Counts.ConnectFails - s.Counts.ConnectTimeouts + s.Counts.Disconnects - s.Counts.Closed
	}},
	{"server_timedout", "# timeouts on server connections", func(s *server.ServerFigures, _ *conf.Pool) uint64 {
		return s.Counts.Timeouts + s.Counts.ConnectTimeouts
	}},
	{"server_connections", "# active server connections", func(s *server.ServerFigures, _ *conf.Pool) uint64 { return uint64(s.Queues.Connections) }},
	{"server_ejected_at", "timestamp when server was ejected in usec since epoch", ejectedAt},
	{"requests", "# requests", func(s *server.ServerFigures, _ *conf.Pool) uint64 {
		return s.Counts.Latency.Count() + s.Counts.Lost + uint64(s.Queues.Sent)
	}},
	{"request_bytes", "total request bytes", func(s *server.ServerFigures, _ *conf.Pool) uint64 { return s.Counts.BytesOut }},
	{"responses", "# responses", func(s *server.ServerFigures, _ *conf.Pool) uint64 { return s.Counts.Latency.Count() }},
	{"response_bytes", "total response bytes", func(s *server.ServerFigures, _ *conf.Pool) uint64 { return s.Counts.BytesIn }},
	{"in_queue", "# requests in incoming queue", func(s *server.ServerFigures, _ *conf.Pool) uint64 { return uint64(s.Queues.Unsent) }},
	{"in_queue_bytes", "current request bytes in incoming queue", func(s *server.ServerFigures, _ *conf.Pool) uint64 { return uint64(s.Queues.UnsentBytes) }},
	{"out_queue", "# requests in outgoing queue", func(s *server.ServerFigures, _ *conf.Pool) uint64 { return uint64(s.Queues.Sent) }},
	{"out_queue_bytes", "current request bytes in outgoing queue", func(s *server.ServerFigures, _ *conf.Pool) uint64 { return uint64(s.Queues.SentBytes) }},
}

// closed returns how many clients are gone.
func closed(p *server.PoolFigures) uint64 { return sum(p.Counts.Clients.Closed[:]) }

// orderly returns how many clients have ended their connections themselves, in order.
func orderly(p *server.PoolFigures) uint64 {
	c := &p.Counts.Clients
	return c.Closed[stats.ClosedByClient] + c.Closed[stats.ClosedQuit] - c.Broken
}

// ejects returns how often servers were ejected: taken down, with their keys moved to the others.
func ejects(p *server.PoolFigures, c *conf.Pool) (n uint64) {
	if !c.AutoEjectHosts {
		return 0
	}
	for i := range p.Servers {
		n += p.Servers[i].Ejections
	}
	return n
}

func ejectedAt(s *server.ServerFigures, c *conf.Pool) uint64 {
	if !c.AutoEjectHosts || s.DownAt.IsZero() {
		return 0
	}
	return uint64(s.DownAt.UnixMicro())
}

func sum(counts []uint64) (n uint64) {
	for _, of := range counts {
		n += of
	}
	return n
}

// DescribeStats writes the figures of the statistics port, as nutcracker --describe-stats does.
func DescribeStats(w io.Writer) {
	io.WriteString(w, "pool stats:\n")
	for _, f := range poolFields {
		fmt.Fprintf(w, "  %-20s\"%s\"\n", f.name, f.about)
	}
	io.WriteString(w, "\nserver stats:\n")
	for _, f := range serverFields {
		fmt.Fprintf(w, "  %-20s\"%s\"\n", f.name, f.about)
	}
}

// statistics returns what a client gets: nutcracker's spacing and order, byte for byte.
func (p *StatsPort) statistics() []byte {
	f := p.srv.Figures()
	j := statsJSON("{")
	j.key("service").text("nutcracker") // by which collectors know the format
	j.key("source").text(p.host)
	j.key("version").text(p.version)
	j.key("uptime").number(uint64(max(0, f.At.Sub(f.Process.Started).Seconds())))
	j.key("timestamp").number(uint64(f.At.Unix()))
	total, now := connections(f)
	j.key("total_connections").number(total)
	j.key("curr_connections").number(now)
	for _, i := range byLength(len(f.Pools), func(i int) string { return f.Pools[i].Name }) {
		j.pool(&f.Pools[i], p.srv.Conf().Pool(f.Pools[i].Name))
	}
	j.end("}\n")
	return j
}

// connections returns how many connections there have been and are, to clients and servers. As
// nutcracker does, it counts the listeners of pools and attempts that failed.
func connections(f *server.Figures) (total, now uint64) {
	total, now = uint64(len(f.Pools)), uint64(len(f.Pools))
	for i := range f.Loops {
		now += uint64(f.Loops[i].Connections)
	}
	for i := range f.Pools {
		total += f.Pools[i].Counts.Clients.Connected
		for j := range f.Pools[i].Servers {
			c := &f.Pools[i].Servers[j].Counts
			total += c.Connects + c.ConnectFails
		}
	}
	return total, now
}

// byLength returns the numbers from 0 to n in nutcracker's order of their names: by length, then by
// bytes.
func byLength(n int, name func(i int) string) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := name(i), name(j)
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	return order
}

// statsJSON is JSON with nutcracker's spacing, up to a place where a key follows.
type statsJSON []byte

func (j *statsJSON) pool(p *server.PoolFigures, c *conf.Pool) {
	j.object(p.Name)
	for _, f := range poolFields {
		j.key(f.name).number(f.value(p, c))
	}
	for _, i := range byLength(len(p.Servers), func(i int) string { return p.Servers[i].Name }) {
		j.object(p.Servers[i].Name)
		for _, f := range serverFields {
			j.key(f.name).number(f.value(&p.Servers[i], c))
		}
		j.end("},")
	}
	j.end("},")
}

// object begins an object with a name.
func (j *statsJSON) object(name string) {
	j.key(name)
	*j = append(*j, ' ', '{')
}

// end ends an object with a text. What separates its last element from another one is left out.
func (j *statsJSON) end(text string) { *j = append(bytes.TrimRight(*j, ", "), text...) }

func (j *statsJSON) key(name string) *statsJSON {
	*j = append(*j, quoted(name)...)
	*j = append(*j, ':')
	return j
}

func (j *statsJSON) text(s string) { *j = append(append(*j, quoted(s)...), ", "...) }

func (j *statsJSON) number(n uint64) { *j = append(strconv.AppendUint(*j, n, 10), ", "...) }

// quoted returns a string of JSON. Unlike nutcracker's, it is right for any name.
func quoted(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s) // never fails: it is a string, and b a buffer
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
