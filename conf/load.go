package conf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"ringway/hashring"
)

// maxText is the longest configuration, in bytes. A thousand servers take a tenth of it.
const maxText = 1 << 20

const tooLong = "more than 1MB of text: this is not a configuration"

// Load reads the file at path and returns what Parse returns for its text. A file that
// begins as a nutcracker.yml does is YAML too, unless it is named .toml. If the file
// can't be read, the error wraps the operating system's.
func Load(path string) (*Config, []Diagnostic, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText+1)) // path may name a device that never ends
	if err != nil {
		return nil, nil, fmt.Errorf("configuration: %w", err)
	}
	yaml := IsYAML(path) || filepath.Ext(path) != ".toml" && looksLikeYAML(trimmed(text))
	return parse(text, path, worldReadable(f), yaml)
}

// trimmed returns a text without the mark that some editors put before it.
func trimmed(text []byte) string { return strings.TrimPrefix(string(text), "\uFEFF") }

// Parse returns the configuration that a text describes, and warnings about settings
// that work but are probably a mistake, in the order of the text. The name is that of
// the text's file, for diagnostics, for Config.Path, and because names of certificate
// files are relative to its directory. A name that ends in .yml or .yaml is that of
// nutcracker's configuration; any other, that of one in TOML.
//
// The error is of type Mistakes and holds everything that is wrong. Then there is
// no configuration, but there may be warnings.
//
// Keys must be in lower case, and durations and sizes are strings with a unit. The
// TOML library's own mapping to structs would ignore case, and take a bare 400 for
// nanoseconds.
func Parse(text []byte, name string) (*Config, []Diagnostic, error) {
	return parse(text, name, "", IsYAML(name))
}

// parse is Parse. The mode, such as "0644", is that of a file that every user may
// read; it is "" for any other file, and for text without a file.
func parse(text []byte, name, mode string, yaml bool) (*Config, []Diagnostic, error) {
	r := newReport(name, trimmed(text))
	if len(text) > maxText {
		r.mistake(0, "", tooLong)
		return nil, nil, r.err()
	}
	if r.yaml = yaml; yaml {
		return parseYAML(r, text, name, mode)
	}
	values, clean := decode(r, r.text)
	if values == nil {
		return nil, nil, r.err()
	}

	b := builder{report: r, partial: len(r.mistakes) > 0, conf: Default()}
	b.conf.Path = name
	root := parseTree(clean)
	r.replaceVariables(root, values, place{})
	b.file(root, values)
	b.warnFile(mode)
	Sort(r.warnings)
	if err := r.err(); err != nil {
		return nil, r.warnings, err
	}
	b.conf.lines, b.conf.shown, b.conf.Hash, b.conf.SecretFiles = r.places, r.shown(), r.hash(), r.files
	return b.conf, r.warnings, nil
}

// hash returns the hash of a configuration's text, by which operators tell whether two are the same. Passwords
// are left out: whoever sees hash and text could else try which password fits.
func (r *report) hash() string {
	var edits []edit
	for _, s := range r.secrets {
		if r.isWritten(s) {
			edits = append(edits, edit{s.node.start, s.node.end, secretText})
		}
	}
	sum := sha256.Sum256([]byte(r.edited(edits)))
	return hex.EncodeToString(sum[:6])
}

// builder fills a Config from the values of a text.
type builder struct {
	report  *report
	partial bool // part of the text was left out because of its syntax: missing settings may be in there
	conf    *Config

	nutcracker []nutcrackerTable // of a nutcracker.yml: all of its pools
}

// file reads the root table of the text.
func (b *builder) file(root *node, values map[string]any) {
	complete := !b.partial
	for _, name := range root.names {
		n := root.table[name]
		switch name {
		case "proxy":
			if table, ok := b.table(n, values[name], "proxy", "[proxy]"); ok {
				b.proxy(n, table)
			}
		case "admin":
			if table, ok := b.table(n, values[name], "admin", "[admin]"); ok {
				b.admin(n, table)
			}
		case "pools":
			if table, ok := b.table(n, values[name], "pools", "[pools.NAME]"); ok {
				b.pools(n, table)
			}
		default:
			message, pool := explainTopLevel(name, n)
			b.report.mistake(n.key, "", message)
			complete = complete && !pool
		}
	}
	b.checkAdminListen(root)
	b.checkStatsListen(root)
	b.checkZones(root)
	b.warnZones(root)
	if complete && root.table["pools"] == nil {
		b.report.mistake(0, "", noPool)
	}
}

const noPool = "no pool; want at least one [pools.NAME] table"

// explainTopLevel returns what is wrong with an unknown key outside of all tables, or
// with an unknown table, and reports whether it was probably meant to be a pool.
func explainTopLevel(name string, n *node) (message string, pool bool) {
	const aPool, theProxy = "a [pools.NAME] table", "the [proxy] table"
	pools := slices.Contains(Nearest(name, []string{"pools", "proxy", "admin"}), "pools")
	header := toml.Key{"pools", name}.String()
	switch has := func(known string) bool { return n.table[known] != nil }; {
	case n.table == nil && slices.Contains(poolNames, name):
		return fmt.Sprintf("key %q belongs in %s", name, aPool), pools
	case n.table == nil && slices.Contains(proxyNames, name):
		return fmt.Sprintf("key %q belongs in %s", name, theProxy), pools
	case !pools && slices.ContainsFunc(poolNames, has):
		return fmt.Sprintf("table [%s] is unknown; want [%s] for a pool", name, header), true
	case !pools && slices.ContainsFunc(proxyNames, has):
		return fmt.Sprintf("table [%s] is unknown; want [proxy]", name), pools
	}
	known := explainForeignKey(name, nil, poolNames, aPool)
	if known == "" {
		known = explainForeignKey(name, nil, proxyNames, theProxy)
	}
	if known == "" {
		known = unknown(name, []string{"pools", "proxy", "admin"})
	}
	if n.table != nil && known == unknown(name, []string{"pools", "proxy", "admin"}) && Nearest(name, []string{"pools", "proxy", "admin"}) == nil {
		return fmt.Sprintf("table [%s] is unknown; want [%s] for a pool, or [proxy]", name, header), true
	}
	return fmt.Sprintf("key %q %s", name, known), pools
}

// table returns a value as a table, or reports that it is not one.
func (b *builder) table(n *node, v any, where, want string) (map[string]any, bool) {
	table, ok := v.(map[string]any)
	if !ok {
		b.report.mistake(n.key, "", fmt.Sprintf("%s is not a table; want %s, with single brackets, and a line for each setting", where, want))
	}
	return table, ok
}

func (b *builder) proxy(n *node, values map[string]any) {
	p := &b.conf.Proxy
	read(tableSource{report: b.report, node: n, values: values, table: "proxy", otherKeys: poolNames, otherTable: "a [pools.NAME] table"}, proxySettings, p)
	if p.ClientOutputLimit < p.ClientOutput {
		at := n.table["client_output_limit"]
		if at == nil {
			at = n.table["client_output"]
		}
		b.report.mistake(at.key, "proxy", fmt.Sprintf("client_output_limit is %s; want at least client_output, which is %s",
			sizeText(p.ClientOutputLimit), sizeText(p.ClientOutput)))
	}
}

func (b *builder) pools(n *node, values map[string]any) {
	if len(n.names) == 0 && !b.partial {
		b.report.mistake(n.key, "", noPool)
	}
	for _, name := range n.names {
		at := n.table[name]
		_, isTable := values[name].(map[string]any)
		where := toml.Key{"pools", name}.String() // quoted if it can't be a bare key
		switch {
		case slices.Contains(poolNames, name) && !isTable:
			b.report.mistake(at.key, "", fmt.Sprintf("key %q belongs in a [pools.NAME] table, not in [pools]", name))
			continue
		case name == "" || hasControl(name):
			b.report.mistake(at.key, "", fmt.Sprintf("pool name %q: want a name, without control characters", name))
		}
		if table, ok := b.table(at, values[name], where, "["+where+"]"); ok {
			b.pool(name, at, table)
		}
	}
	b.checkCycles(n)
}

func (b *builder) pool(name string, n *node, values map[string]any) {
	pool, table := DefaultPool(name), poolTable(name)
	b.report.note(place{table: table}, n)
	before := len(b.report.mistakes)
	if b.report.unset[n] {
		before-- // the mistake is there already
	}
	in := tableSource{report: b.report, partial: b.partial, node: n, values: values, table: table, otherKeys: proxyNames, otherTable: "the [proxy] table"}
	// The topology decides what the other keys mean, so it is read first.
	topology, known := values["topology"].(string)
	if known = known && slices.Contains(topologies, topology); known {
		pool.Topology = topology
	}
	settled := known || n.table["topology"] == nil && !b.partial
	if settled {
		in.misplaced = misplaced(pool.Topology, known)
	}
	guessed := read(in, poolSettings, &pool)
	if n.table["databases"] == nil {
		pool.Databases = defaultDatabases(&pool)
	}
	b.completeUsers(&pool, n)
	if settled {
		b.require(&pool, n, guessed)
	}
	b.checkTogether(&pool, n, values)
	b.checkProxyProtocol(&pool, n)
	if pool.Listen.Addr != "" {
		b.checkListen(&pool, n.table["listen"])
	}
	if shards := len(pool.RingServers()); shards > maxShards {
		b.report.mistake(serversNode(n).start, table, fmt.Sprintf("%d shards; want at most %d", shards, maxShards))
	}
	if len(b.report.mistakes) == before && !b.partial && pool.Topology != Cluster {
		// Each setting is right by itself. Package hashring checks them together.
		if _, err := hashring.New(pool.Ring()); err != nil {
			b.report.mistake(serversNode(n).start, table, err.Error())
		}
	}
	b.warnPool(&pool, n)
	if len(b.report.mistakes) == before && !b.partial {
		b.warnPlacement(&pool, n, values)
	}
	b.conf.Pools = append(b.conf.Pools, pool)
}

// maxShards is how many shards a pool may have: as many as a Cluster has slots. The
// data path numbers them in 16 bits.
const maxShards = hashring.Slots

// serversNode returns the node of the key that lists a pool's servers or shards, or
// the pool's own node if there is none.
func serversNode(n *node) *node {
	for _, key := range []string{"servers", "shards", "masters"} {
		if at := n.table[key]; at != nil {
			return at
		}
	}
	return n
}

// require reports missing settings that a pool must have. Those in guessed are there,
// but misspelt.
func (b *builder) require(p *Pool, n *node, guessed []string) {
	missing := func(key string) bool {
		return n.table[key] == nil && !b.partial && !slices.Contains(guessed, key)
	}
	if missing("listen") {
		b.report.mistake(n.key, poolTable(p.Name), `listen is missing; want the address for clients, such as listen = "127.0.0.1:22121"`)
	}
	for _, r := range required[p.Topology] {
		if missing(r.key) {
			b.report.mistake(n.key, poolTable(p.Name), r.key+" is missing; want "+r.example)
		}
	}
}

func poolTable(name string) string { return fmt.Sprintf("pool %q", name) }
