package conf

import (
	"slices"
	"strings"
)

// foreignKey is a key that other programs have, and what to use here instead.
type foreignKey struct {
	to   []string // settings of pools or of the proxy that do the same; the first that fits the table is suggested
	note string   // what else to say about it
}

// foreignKeys are keys of redis.conf, HAProxy, Envoy, predixy and others, and keys that
// people look for in vain, in normalized form.
var foreignKeys = foreignKeysFrom([]struct{ names, to, note string }{
	{"bind port address addr unixsocket listen_address", "listen", `such as listen = "127.0.0.1:22121"`},
	{"server hosts host nodes backends backend members addresses upstreams endpoints seeds", "servers", ""},
	{"replicas slaves primary master_slave", "shards", `with topology = "replicated"`},
	{"mode type kind cluster cluster_mode cluster_server_pool sentinel_server_pool standalone_server_pool", "topology", `"static", "replicated", "sentinel" or "cluster"`},
	{"group groups master_name master_set service_name", "masters", `with topology = "sentinel"`},
	{"sentinel_password sentinel_pass", "sentinel_auth", ""},

	{"requirepass masterauth password passwd pass auth auth_password downstream_auth_password redis_password redis_pass", "redis_auth", ""},
	{"username user masteruser auth_username redis_username", "redis_user", ""},
	{"db database", "redis_db", ""},
	{"authority acl userlist userlist_file", "users", "who clients may be, and what they may do; acl_file has such users in a file of Redis; acl_users is how many ACL users of the servers clients may be"},
	{"auth_file redis_password_file requirepass_file secret_file", "redis_auth_file", ""},
	{"redis_auth_env password_env redis_password_env", "redis_auth", `such as redis_auth = "${REDIS_PASSWORD}"`},

	{"server_timeout timeout_server op_timeout request_timeout read_timeout command_timeout socket_timeout", "timeout", ""},
	{"timeout_connect dial_timeout connection_timeout", "connect_timeout", ""},
	{"client_timeout timeout_client idle_timeout", "client_idle_timeout", ""},
	{"maxconn max_connections connection_limit", "client_connections max_clients", ""},
	{"pool_size connections max_idle", "server_connections", ""},
	{"keepalive option_tcpka", "tcpkeepalive client_keepalive", ""},
	{"tcp_backlog", "backlog", ""},
	{"worker_threads workers worker_processes nbthread io_threads cpus", "threads", ""},

	{"hash_function hash_algorithm hash_method", "hash", ""},
	{"hash_type balance balance_algorithm lb_policy", "distribution", ""},
	{"hash_tags enable_hashtagging", "hash_tag", `such as hash_tag = "{}"`},
	{"outlier_detection eject_hosts", "auto_eject_hosts", ""},
	{"base_ejection_time retry_timeout", "server_retry_timeout", ""},
	{"fall max_fails failure_limit consecutive_5xx consecutive_gateway_failure", "server_failure_limit", ""},
	{"read_policy read_preference read_from_replicas master_read_priority static_slave_read_priority dynamic_slave_read_priority", "read_from", ""},
	{"inter check_interval health_check_interval refresh_interval", "probe_interval", ""},
	{"dc data_center", "zones", "the zones of the servers; and zone in the [proxy] table for the proxy's own"},
	{"rename_command disabled_commands blocked_commands", "deny_commands", ""},
	{"verbose verbosity", "log_level", ""},
	{"proto_max_bulk_len", "max_bulk", ""},
	{"client_query_buffer_limit", "max_request", ""},
	{"client_output_buffer_limit", "client_output_limit", ""},

	{"ssl use_tls tls_ca_cert_file ssl_ca", "server_tls", `such as server_tls = { ca = "ca.pem" }, for TLS to the servers; TLS for clients is tls = { cert = "ringway.pem", key = "ringway.key" }`},
	{"client_tls tls_port tls_cert_file tls_key_file listen_tls", "tls", `such as tls = { cert = "ringway.pem", key = "ringway.key" }, for clients; server_tls is for TLS to the servers`},
	{"send_proxy accept_proxy", "proxy_protocol", "true, and proxy_protocol_from for the networks of the load balancers"},
	{"allow allowed_networks allow_from whitelist", "allow_networks", `such as allow_networks = ["10.0.0.0/8"]`},
	{"deny denied_networks deny_from blacklist", "deny_networks", `such as deny_networks = ["10.0.66.0/24"]`},
	{"stats stats_port stats_addr", "stats_listen", `such as stats_listen = "127.0.0.1:22222"`},
	{"stats_interval", "", "has no counterpart here: statistics are of the moment; remove this key"},
	{"metrics metrics_addr prometheus admin admin_addr latency_monitor", "", `is not there: want an [admin] table with listen = "127.0.0.1:9180", for metrics and the console`},
	{"log log_file log_path log_rotate logging output", "", "is not there: the log goes to standard error; let the shell or the service manager put it into a file, as in 2>>FILE"},
	{"pid_file daemon daemonize", "", "is not there: Ringway stays in the foreground, for a service manager such as systemd to start and stop"},
	{"include includes", "", "is not there: all settings are in one file"},
	{"slowlog slow_log slowlog_log_slower_than", "", "is not there yet: remove this key; the servers have their own SLOWLOG"},
	{"mbuf_size buf_size", "", "has no counterpart here: remove this key"},
	{"retries retry retry_on_error", "", "is not there: a request of which a server may have seen a byte is never sent again"},
	{"rate_limit mirror request_mirror_policy", "", "is not there: remove this key"},
	{"name", "", "is not needed: the name of a pool is in its header, [pools.NAME]"},
	{"weight weights", "", `is not there: the weight is in the server's own line, such as "127.0.0.1:6379:1 alpha1"`},
})

func foreignKeysFrom(rows []struct{ names, to, note string }) map[string]foreignKey {
	all := map[string]foreignKey{}
	for _, row := range rows {
		for name := range strings.FieldsSeq(row.names) {
			all[normalized(name)] = foreignKey{strings.Fields(row.to), row.note}
		}
	}
	return all
}

// explainForeignKey returns a message that names the setting to use instead of a key of
// another program, or says that there is none; "" if it does not know the key. Names
// are the keys of the table that the key is in, otherKeys those of the other kind of
// table, which otherTable names.
func explainForeignKey(name string, names, otherKeys []string, otherTable string) string {
	f, known := foreignKeys[normalized(name)]
	if !known {
		return ""
	}
	if len(f.to) == 0 {
		return f.note
	}
	note := ""
	if f.note != "" {
		note = ": " + f.note
	}
	if i := slices.IndexFunc(f.to, func(to string) bool { return slices.Contains(names, to) }); i >= 0 {
		return "is unknown; want " + f.to[i] + note
	}
	if i := slices.IndexFunc(f.to, func(to string) bool { return slices.Contains(otherKeys, to) }); i >= 0 {
		return "is unknown; want " + f.to[i] + " in " + otherTable + note
	}
	return ""
}

// explainUnknownKey returns what is wrong with a key that is not in names. OtherKeys are
// the keys of another kind of table, which otherTable names; nil for a table whose keys
// belong nowhere else.
func explainUnknownKey(name string, names, otherKeys []string, otherTable string) string {
	if otherKeys == nil {
		return unknown(name, names)
	}
	if slices.Contains(otherKeys, name) {
		return "belongs in " + otherTable
	}
	if spelt := Nearest(name, otherKeys); len(spelt) == 1 && normalized(spelt[0]) == normalized(name) {
		if here := Nearest(name, names); len(here) == 0 || normalized(here[0]) != normalized(name) {
			return "belongs in " + otherTable + ", as " + spelt[0]
		}
	}
	if message := explainForeignKey(name, names, otherKeys, otherTable); message != "" {
		return message
	}
	return unknown(name, names)
}

// guessKeys returns the settings that an unknown key was probably meant to be.
func guessKeys(name string, names []string) []string {
	return append(slices.Clone(Nearest(name, names)), foreignKeys[normalized(name)].to...)
}
