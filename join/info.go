package join

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ringway/resp"
)

// Info joins replies to INFO, field by field: most are sums. The zero value is ready.
type Info struct {
	sections []*infoSection // in the order in which they came
	byName   map[string]*infoSection
}

type infoSection struct {
	name   string
	fields []*infoField          // in the order in which they came
	byName map[string]*infoField // the same
}

type infoField struct {
	name   string
	values []string // one of each server that has the field
}

// Add adds one server's reply: a bulk or a verbatim string. Of a reply that was cut short, the
// complete lines count. It reports false for any other reply.
func (info *Info) Add(reply []byte) bool {
	text, ok := resp.Text(reply)
	if !ok {
		n, header, isString := resp.BulkLen(reply)
		if !isString || n < len(reply)-header {
			return false
		}
		text = reply[header : bytes.LastIndexByte(reply, '\n')+1]
		if reply[0] == '=' {
			text = bytes.TrimPrefix(text, []byte("txt:"))
		}
	}
	var section *infoSection
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if name, ok := strings.CutPrefix(line, "# "); ok {
			section = info.section(name)
			continue
		}
		if name, value, ok := strings.Cut(line, ":"); ok && section != nil {
			f := section.field(name)
			f.values = append(f.values, value)
		}
	}
	return true
}

func (info *Info) section(name string) *infoSection {
	s := info.byName[name]
	if s == nil {
		if info.byName == nil {
			info.byName = map[string]*infoSection{}
		}
		s = &infoSection{name: name, byName: map[string]*infoField{}}
		info.byName[name] = s
		info.sections = append(info.sections, s)
	}
	return s
}

func (s *infoSection) field(name string) *infoField {
	f := s.byName[name]
	if f == nil {
		f = &infoField{name: name}
		s.byName[name] = f
		s.fields = append(s.fields, f)
	}
	return f
}

// Field returns the joined value of a field, or "" if no server has it.
func (info *Info) Field(section, name string) string {
	s := info.section(section)
	f := s.byName[name]
	if f == nil {
		return ""
	}
	return s.join(f)
}

// HasSection reports whether a section has fields, from a server or from Set.
func (info *Info) HasSection(name string) bool { return len(info.section(name).fields) > 0 }

// Set puts fields of the proxy's own, pairs of name and value, at the start of a section, in place
// of the servers' fields with the same names.
func (info *Info) Set(section string, own [][2]string) {
	s := info.section(section)
	for i, pair := range own {
		f := s.field(pair[0])
		f.values = []string{pair[1]}
		at := slices.Index(s.fields, f)
		s.fields = slices.Insert(slices.Delete(s.fields, at, at+1), i, f)
	}
}

// HideServers drops fields that describe single servers: process and configuration files, and,
// where several servers were joined, how each replicates.
func (info *Info) HideServers(several bool) {
	info.drop("Server", func(name string) bool { return infoOfProcess[name] || strings.HasPrefix(name, "listener") })
	if several {
		info.drop("Replication", func(name string) bool {
			return strings.HasPrefix(name, "slave") || strings.HasPrefix(name, "master_repl") || strings.Contains(name, "repl_offset") || strings.Contains(name, "byte_offset")
		})
	}
}

// drop removes the fields of a section for which drops reports true.
func (info *Info) drop(section string, drops func(name string) bool) {
	s := info.section(section)
	s.fields = slices.DeleteFunc(s.fields, func(f *infoField) bool { return drops(f.name) })
	maps.DeleteFunc(s.byName, func(name string, _ *infoField) bool { return drops(name) })
}

// String returns the joined text of INFO. Sections without fields are left out.
func (info *Info) String() string {
	var b strings.Builder
	for _, s := range info.sections {
		if len(s.fields) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		fmt.Fprintf(&b, "# %s\r\n", s.name)
		for _, f := range s.fields {
			for _, value := range s.lines(f) {
				fmt.Fprintf(&b, "%s:%s\r\n", f.name, value)
			}
		}
	}
	return b.String()
}

// lines returns the values with which a field is written: one, but for the modules, of which each has a
// line of its own with the same name.
func (s *infoSection) lines(f *infoField) []string {
	if s.name != "Modules" {
		return []string{s.join(f)}
	}
	var distinct []string
	for _, v := range f.values {
		if !slices.Contains(distinct, v) {
			distinct = append(distinct, v)
		}
	}
	return distinct
}

// join returns one value for the values of all servers. Fields whose sum would mean nothing are
// known by their names.
func (s *infoSection) join(f *infoField) string {
	switch {
	case len(f.values) == 1:
		return f.values[0]
	case strings.Contains(f.values[0], "=") && infoOfPairs[s.name]:
		return joinPairs(f.values)
	case s.name == "Latencystats":
		return greatestPairs(f.values)
	case strings.HasSuffix(f.name, "_human"):
		return humanBytes(s.sum(strings.TrimSuffix(f.name, "_human")))
	case infoLeast[f.name]:
		return slices.MinFunc(f.values, compareNumbers)
	case infoGreatest[f.name], strings.HasSuffix(f.name, "_ratio"), strings.HasSuffix(f.name, "_perc"):
		return slices.MaxFunc(f.values, compareNumbers)
	}
	if total, ok := sumOf(f.values); ok {
		return total
	}
	for _, v := range f.values {
		if v != f.values[0] && v != "ok" {
			return v // such as the one status that is not ok
		}
	}
	return f.values[0]
}

// infoOfProcess are the fields of section Server that belong to one process; infoLeast and
// infoGreatest those of which the least or greatest value is taken, since their sum means nothing.
var (
	infoOfPairs   = map[string]bool{"Keyspace": true, "Commandstats": true, "Errorstats": true, "Keysizes": true, "Threads": true} // sections whose values are pairs
	infoOfProcess = map[string]bool{
		"run_id": true, "executable": true, "config_file": true, "redis_build_id": true, "process_supervised": true, "server_time_usec": true, "lru_clock": true,
	}
	infoLeast    = map[string]bool{"redis_version": true, "rdb_last_save_time": true, "connected_slaves": true, "uptime_in_seconds": true, "uptime_in_days": true, "min_slaves_good_slaves": true, "loading_start_time": true}
	infoGreatest = map[string]bool{
		"arch_bits": true, "hz": true, "configured_hz": true, "io_threads_active": true, "loading": true, "async_loading": true, "aof_enabled": true,
		"rdb_bgsave_in_progress": true, "rdb_last_bgsave_time_sec": true, "rdb_current_bgsave_time_sec": true, "aof_rewrite_in_progress": true,
		"aof_rewrite_scheduled": true, "aof_last_rewrite_time_sec": true, "aof_current_rewrite_time_sec": true, "latest_fork_usec": true,
		"cluster_enabled": true, "client_recent_max_input_buffer": true, "client_recent_max_output_buffer": true, "active_defrag_running": true,
		"second_repl_offset": true, "repl_backlog_active": true, "server_time_usec": true, "lru_clock": true, "redis_git_dirty": true, "tcp_port": true, "process_id": true,
		"loading_eta_seconds": true, "instantaneous_eventloop_duration_usec": true, "current_eviction_exceeded_time": true, "current_active_defrag_time": true,
		"slowlog_max_len": true, "current_cow_peak": true, "current_cow_size_age": true,
	}
)

// compareNumbers compares numbers by value, and versions number by number.
func compareNumbers(a, b string) int {
	x, errA := strconv.ParseFloat(a, 64)
	y, errB := strconv.ParseFloat(b, 64)
	if errA == nil && errB == nil {
		return cmp.Compare(x, y)
	}
	switch {
	case a == b:
		return 0
	case AtLeastVersion(a, b):
		return 1
	}
	return -1
}

// AtLeastVersion reports whether version a is b or a later one. It compares versions such as "7.0.15"
// number by number.
func AtLeastVersion(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		n, _ := strconv.Atoi(x[i])
		m, _ := strconv.Atoi(y[i])
		if n != m {
			return n > m
		}
	}
	return len(x) >= len(y)
}

// sumOf returns the sum of numbers, with as many digits after the point as the most precise of
// them. It reports false if one is not a number.
func sumOf(values []string) (string, bool) {
	var whole int64
	var fractional float64
	fraction := 0
	for _, v := range values {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			whole += n
			continue
		}
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return "", false
		}
		fractional += f
		_, digits, _ := strings.Cut(v, ".")
		fraction = max(fraction, len(digits))
	}
	if fraction == 0 {
		return strconv.FormatInt(whole, 10), true
	}
	return strconv.FormatFloat(float64(whole)+fractional, 'f', fraction, 64), true
}

// sum returns the total of a field of the section, or 0.
func (s *infoSection) sum(name string) int64 {
	f := s.byName[name]
	if f == nil {
		return 0
	}
	var total int64
	for _, v := range f.values {
		n, _ := strconv.ParseInt(v, 10, 64)
		total += n
	}
	return total
}

// humanBytes formats a size as Redis does (bytesToHuman).
func humanBytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + "B"
	}
	f, unit := float64(n)/1024, 0
	for f >= 1024 && unit < 4 {
		f, unit = f/1024, unit+1
	}
	return strconv.FormatFloat(f, 'f', 2, 64) + string("KMGTP"[unit])
}

// greatestPairs joins values such as "p50=1.003,p99=2.007": of each name the greatest. A percentile of
// all servers' requests together is not above the greatest of theirs, and nothing closer is known.
func greatestPairs(values []string) string {
	var names []string
	greatest := map[string]string{}
	for _, v := range values {
		for _, pair := range strings.Split(v, ",") {
			name, number, _ := strings.Cut(pair, "=")
			was, known := greatest[name]
			if !known {
				names = append(names, name)
			}
			if !known || compareNumbers(number, was) > 0 {
				greatest[name] = number
			}
		}
	}
	for i, name := range names {
		names[i] = name + "=" + greatest[name]
	}
	return strings.Join(names, ",")
}

// joinPairs adds up values such as "keys=3,expires=1,avg_ttl=100" or
// "calls=2,usec=10,usec_per_call=5.00", name by name. Averages are weighted: avg_ttl by expires,
// usec_per_call by calls.
func joinPairs(values []string) string {
	var names []string
	sums := map[string]float64{}
	for _, v := range values {
		numbers := map[string]float64{}
		for _, pair := range strings.Split(v, ",") {
			name, number, _ := strings.Cut(pair, "=")
			numbers[name], _ = strconv.ParseFloat(number, 64)
			if _, known := sums[name]; !known {
				names, sums[name] = append(names, name), 0
			}
		}
		for name, n := range numbers {
			if name == "avg_ttl" {
				n *= numbers["expires"]
			}
			sums[name] += n
		}
	}
	var joined []string
	for _, name := range names {
		text := strconv.FormatFloat(sums[name], 'f', 0, 64)
		switch name {
		case "avg_ttl":
			text = strconv.FormatFloat(sums[name]/max(1, sums["expires"]), 'f', 0, 64)
		case "usec_per_call":
			text = strconv.FormatFloat(sums["usec"]/max(1, sums["calls"]), 'f', 2, 64)
		}
		joined = append(joined, name+"="+text)
	}
	return strings.Join(joined, ",")
}
