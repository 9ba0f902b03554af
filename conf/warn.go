package conf

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ringway/hashring"
)

// warnPool warns of settings that are each valid but do not fit together.
func (b *builder) warnPool(p *Pool, n *node) {
	warn := func(key, format string, args ...any) {
		b.report.warn(n.table[key].start, poolTable(p.Name), fmt.Sprintf(format, args...))
	}
	if warning := hashring.Warn(p.Hash, p.Distribution); warning != "" {
		warn("hash", "%s", warning) // the default hash fits every distribution
	}
	with := ""
	if p.RedisAuth != "" {
		with = "redis_auth"
	} else if slices.ContainsFunc(p.Servers, func(s Server) bool { return s.Network == "unix" }) {
		with = "servers on unix sockets"
	}
	if p.RedisDB > 0 && with != "" {
		warn("redis_db", "redis_db %d with %s: nutcracker never selects the database then, so data written through it is in database 0; to keep using that data want redis_db = 0", p.RedisDB, with)
	}
	if p.Listen.isReachable() && !n.hasSecret("redis_auth") && p.isOpen() && !b.partial {
		warn("listen", "listen %q: whoever can reach this machine can use the servers, since there is no password; want redis_auth, users, tls with client_auth = \"require\", allow_networks, or an address that only clients reach, such as \"127.0.0.1%s\"",
			p.Listen.written(), p.Listen.Addr[strings.LastIndexByte(p.Listen.Addr, ':'):])
	}
	if p.AutoEjectHosts && n.table["timeout"] == nil && !b.partial {
		key := "auto_eject_hosts"
		if n.table[key] == nil {
			key = "eject"
		}
		warn(key, `%s without a timeout: a server that hangs is never ejected, and its clients wait; want timeout = "400ms" or what clients would wait, or timeout = "0s" if this is meant`, key)
	}
}

// written returns the address as a configuration has it.
func (l Listen) written() string {
	if strings.HasPrefix(l.Addr, ":") {
		return "*" + l.Addr
	}
	return l.Addr
}

// isOpen reports whether nothing but a password would keep strangers out.
func (p *Pool) isOpen() bool {
	return p.ACLUsers == 0 && !p.limitsStrangers() && p.AllowNetworks == nil && (p.ClientTLS == nil || p.PlainAndTLS || p.ClientTLS.ClientAuth != AuthRequire)
}

// isReachable reports whether other machines may reach the address: it is an IP address, or all there are, and not of
// this machine alone. Of a host's name that is not known.
func (l Listen) isReachable() bool {
	host, _, _ := net.SplitHostPort(l.Addr)
	_, err := netip.ParseAddr(host)
	return l.isWildcard() || l.Network == "tcp" && err == nil && !l.isLocal()
}

// isWildcard reports whether the address stands for all of the machine's addresses.
func (l Listen) isWildcard() bool {
	host, _, err := net.SplitHostPort(l.Addr)
	if err != nil || l.Network != "tcp" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// weighted matches a server with its weight, which twemproxy requires.
var weighted = regexp.MustCompile(`^(/[^:]+|\[[^\]]+\]:\d+|[^\[\]]+:\d+):\d+(\s+\S+)?$`)

// warnPlacement warns of a pool whose keys would be looked for on other servers if its
// settings were meant as twemproxy's, or written for a version of Ringway with other defaults.
func (b *builder) warnPlacement(p *Pool, n *node, values map[string]any) {
	if p.Topology == Cluster || len(p.RingServers()) < 2 {
		return
	}
	at, noTag := serversNode(n).key, n.table["hash_tag"] == nil && p.Distribution != "random" // under which any server may have a key
	switch {
	case n.table["hash"] == nil && looksLikeTwemproxys(p, n, values):
		twemproxys, ours := "", ""
		if noTag {
			twemproxys, ours = `, and hash_tag = "" if it has no hash_tag`, fmt.Sprintf(" and hash_tag = %q", p.HashTag)
		}
		b.report.warn(at, poolTable(p.Name), fmt.Sprintf("hash is missing and the pool looks like one of twemproxy's, whose default hash is another one: it would find nearly none of its keys; "+
			`want hash = "fnv1a_64" if nutcracker.yml has no hash, or the one that it has%s; for a new pool hash = %q%s`, twemproxys, p.Hash, ours))
	case noTag:
		b.report.warn(at, poolTable(p.Name), fmt.Sprintf("hash_tag is missing: keys such as {user1}:name are placed by what is in the braces, unlike by twemproxy, and by Ringway before that became the default; "+
			`want hash_tag = "" for a pool that was filled by these, else hash_tag = %q`, p.HashTag))
	}
}

// looksLikeTwemproxys reports whether a pool has redis = true, or a weight for each server.
func looksLikeTwemproxys(p *Pool, n *node, values map[string]any) bool {
	entries, _ := values["servers"].([]any)
	return p.Topology == Static && (n.table["redis"] != nil || !slices.ContainsFunc(entries, func(e any) bool {
		entry, _ := e.(string)
		return !weighted.MatchString(entry)
	}))
}

// warnZones warns of pools that read by zone and have no server in the proxy's zone.
func (b *builder) warnZones(root *node) {
	zone := b.conf.Proxy.Zone
	for _, p := range b.conf.Pools {
		if zone == "" || p.ReadFrom != ReadZone || len(p.Zones) == 0 {
			continue
		}
		var names []string
		for _, z := range p.Zones {
			names = append(names, z.Name)
		}
		if !slices.Contains(names, zone) {
			b.report.warn(root.table["proxy"].table["zone"].start, "proxy", fmt.Sprintf("zone %q: %s has no such entry in zones, only %s: all of its reads go to the primaries", zone, poolTable(p.Name), listed(names, "and")))
		}
	}
}

// warnFile warns of a password in a file that every user may read. The mode is "" for any
// other file.
func (b *builder) warnFile(mode string) {
	i := slices.IndexFunc(b.report.secrets, b.report.isWritten)
	if mode == "" || i < 0 {
		return
	}
	s := b.report.secrets[i] // one warning for the file
	b.report.warn(s.node.key, s.table, fmt.Sprintf("%s: everybody on this machine may read the file with this password (mode %s); want chmod 640 %s, or 600", s.key, mode, b.report.file))
}

// worldReadable returns the mode of a regular file that every user may read, such as
// "0644"; "" for any other file.
func worldReadable(f *os.File) string {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o004 == 0 {
		return ""
	}
	return fmt.Sprintf("%04o", info.Mode().Perm())
}

var (
	// placeholder matches text that other programs replace before they use a value.
	placeholder = regexp.MustCompile(`\$\{[A-Za-z_][^}]*\}|^\$[A-Z][A-Z0-9_]{2,}$|\{\{.*\}\}|^%[A-Z_]{3,}%$|^(env|vault):[A-Za-z]|^file:/`)
	typographic = regexp.MustCompile(`^["'“”„‘’«].*["'“”‘’»]$`)
)

// warnLiteral warns of strings in the value that are used literally and were probably
// not meant to be.
func (v *value) warnLiteral() { v.warnLiterals(v.node, v.v) }

func (v *value) warnLiterals(at *node, of any) {
	switch of := of.(type) {
	case string:
		if _, replaced := v.report.written[at]; replaced {
			return // what is literal in it is so by choice
		}
		if what := literal(of, v.report.yaml); what != "" {
			v.report.warn(at.start, v.table, v.name+" "+what)
		}
	case []any:
		for i, e := range of {
			if len(of) == len(at.elems) {
				v.warnLiterals(at.elems[i], e)
			}
		}
	case map[string]any:
		for _, name := range at.names {
			if v.name == "address_map" || v.name == "zones" { // other tables are read key by key
				v.warnLiterals(at.table[name], of[name])
			}
		}
	}
}

// literal returns a message that says why a value was probably not meant literally; "" if
// it may be. The message does not quote the value, which may be a password.
func literal(s string, yaml bool) string {
	switch {
	case placeholder.MatchString(s) && yaml:
		return "is taken as it is written: nothing is replaced in a nutcracker.yml; want the value itself, or a TOML configuration, which ringway convert writes, with ${NAME}"
	case placeholder.MatchString(s):
		return "is taken as it is written: only ${NAME} and ${NAME:-default} are replaced, by environment variables; want one of these, the key with _file behind it for a file, or the value itself"
	case s == "...":
		return `is "..." as it is written, which the example has in place of a value; want the value`
	case len(s) > 2 && typographic.MatchString(s):
		return "has quotes within its quotes, which belong to the value; want one pair, of the plain kind: " + strconv.Quote("...")
	}
	return ""
}
