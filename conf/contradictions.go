package conf

import (
	"fmt"
	"slices"
)

// checkTogether reports settings of a pool that contradict each other, although each
// is right by itself.
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
	if n.table["redis_user"] != nil && !n.hasSecret("redis_auth") && !b.partial {
		mistake("redis_user", "%q has no password; want redis_auth too", p.RedisUser)
	}
	if n.table["sentinel_user"] != nil && !n.hasSecret("sentinel_auth") && !b.partial {
		mistake("sentinel_user", "%q has no password; want sentinel_auth too", p.SentinelUser)
	}
	if p.HedgeAfter > 0 && p.ReadFrom == ReadPrimary && !b.partial {
		mistake("hedge_after", "%s: no other server may be asked while read_from is %q; want another read_from, or remove this key", p.HedgeAfter, ReadPrimary)
	}
	if p.ReadFrom == ReadZone && len(p.Zones) == 0 && n.table["zones"] == nil && !b.partial {
		mistake("read_from", `%q: the zones of the servers are missing; want zones = { "eu-1a" = ["10.1.0.0/16"] }`, ReadZone)
	}
	if p.ServerTLS != nil && slices.ContainsFunc(p.Servers, func(s Server) bool { return s.Network == "unix" }) {
		b.report.mistake(n.table["server_tls"].key, poolTable(p.Name), "server_tls with servers on unix sockets; want servers of host and port, or remove this key")
	}
	switch {
	case !p.PlainAndTLS || b.partial:
	case p.ClientTLS == nil:
		mistake("plain_and_tls", `true: the pool has no TLS; want tls = { cert = "ringway.pem", key = "ringway.key" } too, or remove this key`)
	case p.ClientTLS.ClientAuth == AuthRequire:
		b.report.warn(n.table["plain_and_tls"].start, poolTable(p.Name), `plain_and_tls: client_auth = "require" keeps out only clients that speak TLS; others need no certificate. Remove plain_and_tls once all speak TLS`)
	}
	if n.table["user_limits"] != nil && n.table["users"] == nil && n.table["acl_file"] == nil && !b.partial {
		mistake("user_limits", "has no effect: the pool has no users; want users or acl_file, or limits and network_limits, or remove this key")
	}
	if p.CertificatesNameUsers() && !b.partial {
		switch {
		case p.ClientTLS == nil || p.ClientTLS.ClientAuth == AuthNone:
			mistake("tls_user", `%q: clients have no certificates; want client_auth = "require" or "optional" in tls, or remove this key`, p.TLSUser)
		case n.table["users"] == nil && n.table["acl_file"] == nil:
			mistake("tls_user", "%q: certificates name users, and the pool has none; want users or acl_file, or remove this key", p.TLSUser)
		}
	}
	if p.DefaultServer != "" && !slices.Contains(shardNames(p), p.DefaultServer) && len(p.RingServers()) > 0 {
		mistake("default_server", "%q %s", p.DefaultServer, unknown(p.DefaultServer, shardNames(p)))
	}
	if n.table["deny_commands"] != nil && p.RedisUser == "" && scriptsEvadeDeny(p.DenyCommands) {
		b.report.warn(n.table["deny_commands"].start, poolTable(p.Name), "deny_commands does not hold in scripts (EVAL, EVALSHA, FCALL): refused are those that name such a command in quotes, but a script can hide a name. "+
			"Only the servers' ACL holds there: want redis_user, a user that may not run them (ACL SETUSER ringway on >… ~* &* +@all -flushall), or scripts denied too")
	}
	if p.Restore != RestoreKeep && !p.AutoEjectHosts && !b.partial {
		mistake("restore", "%q: a server keeps its keys while it is down, since none move; want auto_eject_hosts = true, or remove this key", p.Restore)
	}
	auto, isBool := values["auto_eject_hosts"].(bool)
	if eject, isWord := values["eject"].(string); isBool && isWord && slices.Contains(ejects, eject) && auto != (eject == ejects[1]) {
		mistake("eject", "%q contradicts auto_eject_hosts = %v in line %d; want one of the two", eject, auto, b.report.line(n.table["auto_eject_hosts"].start))
	}
}

func shardNames(p *Pool) (names []string) {
	for _, s := range p.RingServers() {
		names = append(names, s.Name)
	}
	return names
}
