package conf

import (
	"fmt"
	"math"

	"ringway/limit"
)

// NetworkLimits is a [pools.NAME.network_limits] table: what each network of clients may use.
type NetworkLimits struct {
	limit.Settings
	Prefix4 int // bits of an IPv4 address that are its network; default 32: each address
	Prefix6 int // likewise of IPv6; default 64: what one site usually has
}

// LimitSettings returns the pool's limits in the form in which package limit wants them.
func (p *Pool) LimitSettings() *limit.PoolSettings {
	return &limit.PoolSettings{Pool: p.Limits, Users: p.UserLimits, User: p.OwnLimits, Networks: p.NetworkLimits.Settings,
		Prefix4: p.NetworkLimits.Prefix4, Prefix6: p.NetworkLimits.Prefix6}
}

var atLimits = []string{"delay", "refuse"}

// limitSettings are the keys of every table of limits.
var limitSettings = []setting[limit.Settings]{
	{"connections", func(v *value, l *limit.Settings) { v.integer(&l.Connections, 1, math.MaxInt32) }},
	{"requests", func(v *value, l *limit.Settings) { v.integer(&l.Requests, 1, math.MaxInt32) }},
	{"bytes", func(v *value, l *limit.Settings) { v.size(&l.Bytes, 1<<10, 1<<40) }},
	{"under_way", func(v *value, l *limit.Settings) { v.integer(&l.UnderWay, 1, math.MaxInt32) }},
	{"at_limit", func(v *value, l *limit.Settings) {
		word := atLimits[0]
		if v.word(&word, atLimits) {
			l.Refuse = word == atLimits[1]
		}
	}},
}

// arrivalSetting is a key of the tables whose clients can be told apart before they are served.
var arrivalSetting = setting[limit.Settings]{"new_connections", func(v *value, l *limit.Settings) { v.integer(&l.NewConnections, 1, math.MaxInt32) }}

// poolLimitSettings are the keys of [pools.NAME.limits]. How many clients the pool has is client_connections.
var poolLimitSettings = append([]setting[limit.Settings]{arrivalSetting, {"connections", func(v *value, _ *limit.Settings) {
	v.fail("want client_connections beside limits, which is how many clients the pool may have")
}}}, limitSettings[1:]...)

var networkLimitSettings = append([]setting[NetworkLimits]{
	{"ipv4_prefix", func(v *value, l *NetworkLimits) { v.integer(&l.Prefix4, 1, 32) }},
	{"ipv6_prefix", func(v *value, l *NetworkLimits) { v.integer(&l.Prefix6, 1, 128) }},
}, within(append([]setting[limit.Settings]{arrivalSetting}, limitSettings...), func(l *NetworkLimits) *limit.Settings { return &l.Settings })...)

// within returns settings of a part of T as settings of T.
func within[T, Part any](settings []setting[Part], part func(*T) *Part) (all []setting[T]) {
	for _, s := range settings {
		all = append(all, setting[T]{s.name, func(v *value, into *T) { s.set(v, part(into)) }})
	}
	return all
}

// setLimits reads a table of limits.
func setLimits[T any](v *value, settings []setting[T], into *T) {
	table, ok := v.v.(map[string]any)
	if !ok {
		v.fail("want a table, such as { requests = 1000, bytes = \"10MB\" }")
		return
	}
	read(tableSource{report: v.report, partial: v.partial, node: v.node, values: table, table: v.table, prefix: v.name + "."}, settings, into)
}

// limitsText returns a table of limits, with more entries of it behind them.
func limitsText(l limit.Settings, more ...string) string {
	if l == (limit.Settings{}) && more == nil {
		return noneText
	}
	var entries []string
	for _, e := range []struct {
		key   string
		value int
	}{{"connections", l.Connections}, {"new_connections", l.NewConnections}, {"requests", l.Requests}, {"under_way", l.UnderWay}} {
		if e.value > 0 {
			entries = append(entries, fmt.Sprint(e.key, " = ", e.value))
		}
	}
	if l.Bytes > 0 {
		entries = append(entries, "bytes = "+quote(sizeText(l.Bytes)))
	}
	if l.Refuse {
		entries = append(entries, `at_limit = "refuse"`)
	}
	return tableText(append(entries, more...), func(s string) string { return s })
}
