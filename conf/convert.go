package conf

import (
	"fmt"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Convert returns the TOML configuration that serves what nutcracker's serves, with the same keys on
// the same servers, and with comments where Ringway does something else or has something better. The
// text is that of a nutcracker.yml, the name that of its file. The result has its passwords.
// Warnings and errors are those of Parse.
func Convert(text []byte, name string) ([]byte, []Diagnostic, error) {
	r := newReport(name, trimmed(text))
	if len(text) > maxText {
		r.mistake(0, "", tooLong)
		return nil, nil, r.err()
	}
	tables, warnings, err := r.convertible(text, name)
	if err != nil {
		return nil, warnings, err
	}
	w := &tomlWriter{}
	w.comment("Made by ringway convert from " + r.file + ".")
	w.comment("What is not here has Ringway's default; examples/ringway.toml shows every setting.")
	for _, t := range tables {
		w.pool(t)
	}
	return []byte(w.String()), warnings, nil
}

// convertible returns the pools of a nutcracker.yml as they are in the file.
func (r *report) convertible(text []byte, name string) ([]convertedPool, []Diagnostic, error) {
	b, root, err := r.nutcracker(text, name, "")
	if err != nil {
		return nil, r.warnings, err
	}
	var pools []convertedPool
	for i := range b.nutcracker {
		t := &b.nutcracker[i]
		pools = append(pools, convertedPool{t, root.table[t.Name]})
	}
	return pools, r.warnings, nil
}

// convertedPool is a pool of a nutcracker.yml and where it is in the text.
type convertedPool struct {
	*nutcrackerTable
	node *node
}

// has reports whether the file has a key of the pool.
func (p convertedPool) has(key string) bool { return p.node.table[key] != nil }

// tomlWriter writes a configuration.
type tomlWriter struct{ strings.Builder }

func (w *tomlWriter) comment(text string) { w.WriteString("# " + oneLine(text) + "\n") }

// set writes a setting.
func (w *tomlWriter) set(key string, value any) {
	switch v := value.(type) {
	case string:
		value = tomlString(literally(v))
	case time.Duration:
		value = tomlString(durationText(v))
	}
	fmt.Fprintf(w, "%s = %v\n", key, value)
}

// tomlString returns a string in TOML's quotes.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// pool writes one pool.
func (w *tomlWriter) pool(p convertedPool) {
	w.WriteByte('\n')
	if !p.redis {
		w.comment(fmt.Sprintf("Pool %q is left out: without redis: true its servers are memcached.", p.Name))
		return
	}
	w.WriteString("[" + toml.Key{"pools", p.Name}.String() + "]\n")
	listen := p.Listen.written()
	if p.Listen.Mode != 0 {
		listen += fmt.Sprintf(" %o", p.Listen.Mode)
	}
	w.set("listen", listen)
	w.placement(p)
	w.connections(p)
	w.failures(p)
	w.credentials(p)
	w.comment("Names, weights and derived names mean the same.")
	w.WriteString("servers = [\n")
	for _, s := range p.written {
		w.WriteString("  " + tomlString(literally(s)) + ",\n")
	}
	w.WriteString("]\n")
}

// placement writes what decides where keys are, defaults too.
func (w *tomlWriter) placement(p convertedPool) {
	if !p.has("hash") {
		w.comment("nutcracker's default. Ringway's, xxhash64, spreads short keys better, but would move nearly all of them.")
	}
	w.set("hash", p.Hash)
	w.set("distribution", p.Distribution)
	if p.HashTag == "" {
		w.comment(`No hash tag, as nutcracker without the key. "{}", Ringway's default, lets clients put keys together, but would move those that have braces.`)
	}
	w.set("hash_tag", p.HashTag)
	w.comment("If nutcracker ran on ARM: hash_signed_char = false")
}

func (w *tomlWriter) connections(p convertedPool) {
	switch {
	case p.Timeout > 0:
		w.comment("A request that takes longer fails alone; nutcracker fails all that share its connection.")
		w.set("timeout", p.Timeout)
	default:
		w.comment(`No timeout, as in nutcracker: a server that hangs keeps its clients waiting. Better: timeout = "400ms", or what clients would wait`)
		w.set("timeout", time.Duration(0))
	}
	if p.has("backlog") {
		w.set("backlog", p.Backlog)
	}
	if p.clientConnections > 0 {
		w.comment("nutcracker reads client_connections and accepts any number of clients. Here it would bound them:")
		w.comment(fmt.Sprintf("client_connections = %d", p.clientConnections))
	}
	if p.has("tcpkeepalive") {
		w.comment("Of servers' connections; for clients see client_keepalive in [proxy], which is on by default.")
		w.set("tcpkeepalive", p.TCPKeepAlive)
	}
	if p.has("reuseport") {
		w.set("reuseport", p.ReusePort)
	}
	if p.has("preconnect") {
		w.set("preconnect", p.Preconnect)
	}
	if p.has("server_connections") {
		w.comment("Of each event loop, of which there is one per core unless threads in [proxy] says otherwise. One is enough: requests keep their order.")
		w.set("server_connections", p.ServerConnections)
	}
}

func (w *tomlWriter) failures(p convertedPool) {
	if p.AutoEjectHosts {
		w.comment("A server comes back when it has answered a probe, not blindly. Right for a cache; where data must not move, false.")
	}
	w.set("auto_eject_hosts", p.AutoEjectHosts)
	if p.has("server_retry_timeout") {
		w.set("server_retry_timeout", p.ServerRetryTimeout)
	}
	if p.has("server_failure_limit") {
		w.set("server_failure_limit", p.ServerFailureLimit)
	}
}

func (w *tomlWriter) credentials(p convertedPool) {
	if p.RedisAuth != "" {
		w.set("redis_auth", p.RedisAuth)
	}
	switch {
	case p.has("redis_db") && p.RedisDB != p.writtenDB:
		w.comment(fmt.Sprintf("redis_db: %d is left out: nutcracker never selects it in this pool, so the data is in database 0.", p.writtenDB))
	case p.RedisDB > 0:
		w.set("redis_db", p.RedisDB)
	}
	if p.RedisDB == 0 {
		w.comment("Clients may SELECT databases; nutcracker closes them. To refuse that: databases = 1")
	}
}
