package session

import (
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"ringway/command"
	"ringway/resp"
	"ringway/stats"
)

// HOTKEYS is answered for the pool as a whole, from what the loops count of hot keys anyhow, in the
// form of the pool's servers: Redis 8.6's counts from START to STOP; Valkey's has no START, and tells
// rates.

// hotKeysTracking is the HOTKEYS START of a pool. Its zero value is none. Any loop may use it.
type hotKeysTracking struct {
	current atomic.Pointer[hotKeysPeriod]
}

// hotKeysPeriod is what one HOTKEYS START asked for. It is immutable; STOP replaces it by a copy.
type hotKeysPeriod struct {
	id       *int // the same for a period and its copy
	cpu, net bool
	count    int // of keys in each list
	started  time.Time
	duration time.Duration // 0: until STOP
	stopped  time.Time     // zero before STOP
}

// lasted returns how long the period has lasted, and whether it still does.
func (p *hotKeysPeriod) lasted(now time.Time) (d time.Duration, active bool) {
	if !p.stopped.IsZero() {
		return p.stopped.Sub(p.started), false
	}
	d = now.Sub(p.started)
	if p.duration > 0 && d >= p.duration {
		return p.duration, false
	}
	return d, true
}

// trackedHotKeys is what one loop has counted for the newest period that it has heard of.
type trackedHotKeys struct {
	of     *int // hotKeysPeriod.id
	counts *stats.KeyPeriod
}

// hotKeysOf is what a loop tells of a period.
type hotKeysOf struct {
	counts *stats.KeyCounts
	bytes  uint64
}

const (
	replyTrackingUnderWay = "ERR hotkey tracking session already in progress"
	replyNothingCounted   = "ERR HOTKEYS needs the proxy's statistics, which are off: set statistics = true in [proxy]"
	maxTrackedKeys        = 64        // COUNT
	maxTrackedSeconds     = 1_000_000 // DURATION
	valkeyHotKeys         = 16        // in the list that Valkey's HOTKEYS GET is
)

// noHotKeys returns the error of HOTKEYS where it can't be answered: nothing is counted, or the
// subcommand is none of Valkey's. It returns "" if there is none.
func (s *session) noHotKeys(args [][]byte, redisOnly bool) string {
	switch {
	case s.hot == nil:
		return replyNothingCounted
	case redisOnly && s.local.Valkey():
		return "ERR unknown subcommand '" + string(args[1]) + "'. Try HOTKEYS HELP."
	}
	return ""
}

// hotKeysStart runs HOTKEYS START METRICS count [CPU] [NET] [COUNT k] [DURATION seconds] [SAMPLE ratio].
func hotKeysStart(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	if text := s.noHotKeys(args, true); text != "" {
		return resp.AppendError(dst, text)
	}
	before := s.askedHotKeys.current.Load()
	if before != nil {
		if _, active := before.lasted(time.Now()); active {
			return resp.AppendError(dst, replyTrackingUnderWay)
		}
	}
	p, text := parseHotKeysStart(args)
	if text != "" {
		return resp.AppendError(dst, text)
	}
	p.id, p.started = new(int), time.Now()
	if !s.askedHotKeys.current.CompareAndSwap(before, p) {
		return resp.AppendError(dst, replyTrackingUnderWay) // another loop's client was first
	}
	s.tellHotKeys(func(peer *shared) { peer.countHotKeys(p) })
	return nil
}

// countHotKeys counts for a period from now on.
func (sh *shared) countHotKeys(p *hotKeysPeriod) {
	until := int64(0)
	if p.duration > 0 {
		until = sh.w.loop.Now() + int64(p.duration)
	}
	sh.hotPeriod = trackedHotKeys{p.id, new(stats.KeyPeriod)}
	sh.hot.Count(sh.hotPeriod.counts, until)
}

// hotKeysStop runs HOTKEYS STOP.
func hotKeysStop(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	if text := s.noHotKeys(args, true); text != "" {
		return resp.AppendError(dst, text)
	}
	p := s.askedHotKeys.current.Load()
	if p == nil {
		return s.protocol.AppendNull(dst)
	}
	if _, active := p.lasted(time.Now()); !active {
		return s.protocol.AppendNull(dst)
	}
	stopped := *p
	stopped.stopped = time.Now()
	if !s.askedHotKeys.current.CompareAndSwap(p, &stopped) {
		return s.protocol.AppendNull(dst)
	}
	s.tellHotKeys(func(peer *shared) {
		if peer.hotPeriod.of == p.id {
			peer.hot.Count(nil, 0)
		}
	})
	return nil
}

// hotKeysReset runs HOTKEYS RESET. Valkey's forgets nothing here: what it tells is of the last seconds.
func hotKeysReset(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	if text := s.noHotKeys(args, false); text != "" {
		return resp.AppendError(dst, text)
	}
	p := s.askedHotKeys.current.Load()
	if p == nil {
		return resp.AppendSimple(dst, "OK")
	}
	if _, active := p.lasted(time.Now()); active || !s.askedHotKeys.current.CompareAndSwap(p, nil) {
		return resp.AppendError(dst, "ERR hotkey tracking session in progress, stop tracking first")
	}
	s.tellHotKeys(func(peer *shared) {
		if peer.hotPeriod.of == p.id {
			peer.hotPeriod = trackedHotKeys{}
		}
	})
	return nil
}

// tellHotKeys calls f for each loop, and answers the current request with OK when all have done it.
func (s *session) tellHotKeys(f func(peer *shared)) {
	number := s.push()
	s.closeWindow()
	gatherLoops(s.shared, func(peer *shared, tell func(struct{})) {
		f(peer)
		tell(struct{}{})
	}, func([]struct{}) { s.answerAndResume(number, []byte("+OK\r\n")) })
}

// hotKeysGet runs HOTKEYS GET.
func hotKeysGet(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	if text := s.noHotKeys(args, false); text != "" {
		return resp.AppendError(dst, text)
	}
	p, valkey, protocol := s.askedHotKeys.current.Load(), s.local.Valkey(), s.protocol
	if p == nil && !valkey {
		return s.protocol.AppendNull(dst)
	}
	number := s.push()
	s.closeWindow()
	gatherLoops(s.shared, func(peer *shared, tell func(hotKeysOf)) {
		switch {
		case valkey:
			tell(hotKeysOf{counts: peer.hot.Copy(peer.w.loop.Now())})
		case peer.hotPeriod.of == p.id:
			counts, bytes := peer.hotPeriod.counts.Copy()
			tell(hotKeysOf{counts, bytes})
		default: // it was reset meanwhile
			tell(hotKeysOf{})
		}
	}, func(told []hotKeysOf) {
		if valkey {
			s.answerAndResume(number, appendValkeyHotKeys(nil, told, protocol))
		} else {
			s.answerAndResume(number, p.appendReply(nil, told, protocol))
		}
	})
	return nil
}

// mergeHotKeys adds up what the loops have told.
func mergeHotKeys(told []hotKeysOf, n int) (top stats.TopHotKeys, bytes uint64) {
	var counts []*stats.KeyCounts
	for _, t := range told {
		counts, bytes = append(counts, t.counts), bytes+t.bytes
	}
	return stats.MergeHotKeys(counts, n), bytes
}

// appendValkeyHotKeys appends the reply of Valkey: a map for each key, the hottest first.
func appendValkeyHotKeys(dst []byte, told []hotKeysOf, protocol resp.Protocol) []byte {
	top, _ := mergeHotKeys(told, valkeyHotKeys)
	dst = resp.AppendArray(dst, len(top.ByRequests))
	for _, k := range top.ByRequests {
		dst = resp.AppendBulkString(resp.AppendBulkString(protocol.AppendMap(dst, 3), "key"), k.Key)
		dst = resp.AppendInt(resp.AppendBulkString(dst, "db"), 0)
		dst = resp.AppendInt(resp.AppendBulkString(dst, "qps"), int64(math.Round(k.Requests)))
	}
	return dst
}

// appendReply appends the reply of Redis. A proxy sees no processor time of servers: each request
// counts as one microsecond, so that order and shares are those of the requests.
func (p *hotKeysPeriod) appendReply(dst []byte, told []hotKeysOf, protocol resp.Protocol) []byte {
	top, bytes := mergeHotKeys(told, p.count)
	lasted, active := p.lasted(time.Now())
	requests, running := int64(math.Round(top.Requests)), int64(0)
	if active {
		running = 1
	}
	var body []byte
	fields := 0
	field := func(name string, value func([]byte) []byte) {
		fields++
		body = value(resp.AppendBulkString(body, name))
	}
	number := func(n int64) func([]byte) []byte {
		return func(b []byte) []byte { return resp.AppendInt(b, n) }
	}
	field("tracking-active", number(running))
	field("sample-ratio", number(1)) // numbers are of all requests, whatever SAMPLE was
	field("selected-slots", func(b []byte) []byte {
		return resp.AppendInt(resp.AppendInt(resp.AppendArray(resp.AppendArray(b, 1), 2), 0), 16383)
	})
	field("all-commands-all-slots-us", number(requests))
	field("net-bytes-all-commands-all-slots", number(int64(bytes)))
	field("collection-start-time-unix-ms", number(p.started.UnixMilli()))
	field("collection-duration-ms", number(lasted.Milliseconds()))
	if p.cpu {
		field("total-cpu-time-user-ms", number(requests/1000))
		field("total-cpu-time-sys-ms", number(0))
	}
	if p.net {
		field("total-net-bytes", number(int64(bytes)))
	}
	if p.cpu {
		field("by-cpu-time-us", func(b []byte) []byte {
			return appendHotKeys(b, top.ByRequests, func(k *stats.HotKey) float64 { return k.Requests })
		})
	}
	if p.net {
		field("by-net-bytes", func(b []byte) []byte {
			return appendHotKeys(b, top.ByBytes, func(k *stats.HotKey) float64 { return k.Bytes })
		})
	}
	return append(protocol.AppendMap(resp.AppendArray(dst, 1), fields), body...)
}

// appendHotKeys appends keys and their values in one array.
func appendHotKeys(dst []byte, keys []stats.HotKey, value func(k *stats.HotKey) float64) []byte {
	dst = resp.AppendArray(dst, 2*len(keys))
	for i := range keys {
		dst = resp.AppendInt(resp.AppendBulkString(dst, keys[i].Key), int64(math.Round(value(&keys[i]))))
	}
	return dst
}

// parseHotKeysStart reads the arguments of HOTKEYS START as Redis 8.6 does. text is the error, "" for
// none.
func parseHotKeysStart(args [][]byte) (p *hotKeysPeriod, text string) {
	p = &hotKeysPeriod{count: 10}
	if len(args) < 4 || !strings.EqualFold(string(args[2]), "metrics") {
		return nil, "ERR METRICS parameter is required"
	}
	metrics, ok := intWithin(args[3], 2)
	if !ok {
		return nil, "ERR METRICS count must be > 0 and <= 2"
	}
	rest := args[4:]
	for range min(metrics, len(rest)) {
		switch name := strings.ToUpper(string(rest[0])); {
		case name == "CPU" && p.cpu, name == "NET" && p.net:
			return nil, "ERR METRICS " + name + " defined more than once!"
		case name == "CPU":
			p.cpu = true
		case name == "NET":
			p.net = true
		}
		rest, metrics = rest[1:], metrics-1
	}
	switch {
	case metrics > 0:
		return nil, "ERR METRICS count does not match number of metric types provided"
	case !p.cpu && !p.net:
		return nil, "ERR METRICS no valid metrics passed. Supported: CPU|NET"
	}
	for ; len(rest) > 0; rest = rest[min(2, len(rest)):] {
		if text := p.option(rest); text != "" {
			return nil, text
		}
	}
	return p, ""
}

// option reads an option of HOTKEYS START and its value.
func (p *hotKeysPeriod) option(args [][]byte) (text string) {
	name := strings.ToUpper(string(args[0]))
	if len(args) < 2 || !slices.Contains([]string{"COUNT", "DURATION", "SAMPLE", "SLOTS"}, name) {
		return "ERR syntax error"
	}
	switch name {
	case "COUNT":
		n, ok := intWithin(args[1], maxTrackedKeys)
		if !ok {
			return "ERR COUNT must be between 1 and 64"
		}
		p.count = n
	case "DURATION":
		n, ok := intWithin(args[1], maxTrackedSeconds)
		if !ok {
			return "ERR DURATION must be between 1 and 1000000"
		}
		p.duration = time.Duration(n) * time.Second
	case "SAMPLE":
		if _, ok := intWithin(args[1], math.MaxInt32); !ok {
			return "ERR SAMPLE ratio must be positive"
		}
	case "SLOTS":
		return "ERR SLOTS parameter cannot be used in non-cluster mode"
	}
	return ""
}

// intWithin reads an integer from 1 to most.
func intWithin(arg []byte, most int64) (int, bool) {
	n, ok := resp.ParseInt(arg)
	return int(n), ok && n >= 1 && n <= most
}
