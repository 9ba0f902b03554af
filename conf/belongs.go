package conf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// belongs says of settings that mean something to some topologies only, to
// which. All others are for every pool.
var belongs = map[string][]string{
	"servers":              {Static, Cluster},
	"shards":               {Replicated},
	"sentinels":            {Sentinel},
	"masters":              {Sentinel},
	"sentinel_user":        {Sentinel},
	"sentinel_auth":        {Sentinel},
	"sentinel_tls":         {Sentinel},
	"hash":                 {Static, Replicated, Sentinel},
	"hash_tag":             {Static, Replicated, Sentinel},
	"hash_signed_char":     {Static, Replicated, Sentinel},
	"distribution":         {Static, Replicated, Sentinel},
	"default_server":       {Static, Replicated, Sentinel},
	"auto_eject_hosts":     {Static},
	"eject":                {Static},
	"restore":              {Static},
	"merge_sets":           {Static},
	"server_retry_timeout": {Static},
	"read_from":            {Replicated, Sentinel, Cluster},
	"max_replica_lag":      {Replicated, Sentinel, Cluster},
	"hedge_after":          {Replicated, Sentinel, Cluster},
	"failover_wait":        {Replicated, Sentinel, Cluster},
	"probe_interval":       {Replicated, Sentinel, Cluster},
	"address_map":          {Replicated, Sentinel, Cluster},
	"zones":                {Replicated, Sentinel, Cluster},
}

// ringKeys are the settings that say where keys are on a ring.
var ringKeys = []string{"hash", "hash_tag", "hash_signed_char", "distribution"}

// required are the settings without which a topology has no servers, and
// examples of them.
var required = map[string][]struct{ key, example string }{
	Static:     {{"servers", `a list such as servers = ["127.0.0.1:6379:1 alpha1"]`}},
	Replicated: {{"shards", shardsForm}},
	Sentinel: {
		{"sentinels", `where the Sentinels listen, such as sentinels = ["10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"]`},
		{"masters", `the names of the masters that the Sentinels watch, such as masters = ["sessions1", "sessions2"]`},
	},
	Cluster: {{"servers", `a few servers of the Cluster, such as servers = ["10.0.0.1:6379", "10.0.0.2:6379"]`}},
}

// misplaced returns a function that says of a key what is wrong with it in a
// pool of that topology, "" if nothing is. Given tells whether the text names
// the topology.
func misplaced(topology string, given bool) func(key string) string {
	return func(key string) string {
		to := belongs[key]
		switch {
		case to == nil || slices.Contains(to, topology):
			return ""
		case topology == Cluster && slices.Contains(ringKeys, key):
			return `is for a ring; in topology "cluster" keys are in slots by the Cluster's own rule, with {} as hash tag; want no such key`
		case key == "servers":
			var want []string
			for _, r := range required[topology] {
				want = append(want, r.key)
			}
			return fmt.Sprintf("belongs to topology %s; topology %q wants %s instead", quoted(to), topology, strings.Join(want, " and "))
		}
		message := fmt.Sprintf("belongs to topology %s; this pool has topology %q", quoted(to), topology)
		if !given {
			message += fmt.Sprintf(", as none is given; want topology = %q, or no such key", to[0])
		}
		return message
	}
}

// quoted returns `"a", "b" or "c"`.
func quoted(words []string) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i > 0 && i == len(words)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(w))
	}
	return b.String()
}

// checkTogether reports settings of a pool that are right one by one and
// contradict each other.
func (b *builder) checkTogether(p *Pool, n *node, values map[string]any) {
	mistake := func(key, format string, args ...any) {
		b.report.mistake(n.table[key].start, poolTable(p.Name), key+" "+fmt.Sprintf(format, args...))
	}
	if p.RedisDB > 0 && p.Topology == Cluster {
		mistake("redis_db", "%d: want 0, the only database of a Cluster", p.RedisDB)
	}
	switch {
	case p.Databases > 1 && p.Topology == Cluster:
		mistake("databases", "%d: want 1, since a Cluster has only database 0", p.Databases)
	case p.Databases > 1 && p.RedisDB >= p.Databases:
		mistake("databases", "%d: want more than redis_db, %d, which clients begin with", p.Databases, p.RedisDB)
	}
	if n.table["redis_user"] != nil && n.table["redis_auth"] == nil && !b.partial {
		mistake("redis_user", "%q has no password; want redis_auth too", p.RedisUser)
	}
	if n.table["sentinel_user"] != nil && n.table["sentinel_auth"] == nil && !b.partial {
		mistake("sentinel_user", "%q has no password; want sentinel_auth too", p.SentinelUser)
	}
	if p.HedgeAfter > 0 && p.ReadFrom == ReadPrimary && !b.partial {
		mistake("hedge_after", "%s: nobody else may be asked while read_from is %q; want another read_from, or no such key", p.HedgeAfter, ReadPrimary)
	}
	if p.ReadFrom == ReadZone && len(p.Zones) == 0 && n.table["zones"] == nil && !b.partial {
		mistake("read_from", `%q: which server is in which zone is missing; want zones = { "eu-1a" = ["10.1.0.0/16"] }`, ReadZone)
	}
	if p.ServerTLS != nil && slices.ContainsFunc(p.Servers, func(s Server) bool { return s.Network == "unix" }) {
		b.report.mistake(n.table["server_tls"].key, poolTable(p.Name), "server_tls with servers on unix sockets; want servers of host and port, or no such key")
	}
	if p.DefaultServer != "" && !slices.Contains(namesOfPlaces(p), p.DefaultServer) && len(p.Places()) > 0 {
		mistake("default_server", "%q %s", p.DefaultServer, unknown(p.DefaultServer, namesOfPlaces(p)))
	}
	if n.table["deny_commands"] != nil && p.RedisUser == "" && deniesLessThanScripts(p.DenyCommands) {
		b.report.warn(n.table["deny_commands"].start, poolTable(p.Name), "deny_commands does not hold in scripts (EVAL, EVALSHA, FCALL): refused are those that name such a command in quotes, but a script can hide a name. "+
			"Only the servers' ACL holds there: want redis_user, a user that may not run them (ACL SETUSER ringway on >… ~* &* +@all -flushall), or scripts denied too")
	}
	if p.Restore != RestoreKeep && !p.AutoEjectHosts && !b.partial {
		mistake("restore", "%q: a server keeps its keys while it is down, since none move; want auto_eject_hosts = true, or no such key", p.Restore)
	}
	auto, isBool := values["auto_eject_hosts"].(bool)
	if eject, isWord := values["eject"].(string); isBool && isWord && slices.Contains(ejects, eject) && auto != (eject == ejects[1]) {
		mistake("eject", "%q contradicts auto_eject_hosts = %v in line %d; want one of the two", eject, auto, b.report.line(n.table["auto_eject_hosts"].start))
	}
}

func namesOfPlaces(p *Pool) (names []string) {
	for _, s := range p.Places() {
		names = append(names, s.Name)
	}
	return names
}
