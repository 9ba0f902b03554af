package conf

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// ChangeKind says what a Change is about.
type ChangeKind uint8

// The kinds of changes.
const (
	SettingChanged  ChangeKind = iota // Key has another value
	PoolAdded                         // the pool is new
	PoolRemoved                       // the pool is gone
	ServerAdded                       // Server, at Now, is new
	ServerRemoved                     // Server, at Was, is gone
	ServerMoved                       // Server has another address, or a shard other servers
	ServerWeighted                    // Server has another weight
	ServersReplaced                   // the servers are listed in another order
)

// Change is one difference between two configurations. It never contains a password.
type Change struct {
	Kind     ChangeKind
	Table    string // "proxy", "admin" or "pools"
	Pool     string // the pool of a "pools" table; "" for the others
	Key      string // the setting; of a change of servers the one that lists them; "" for PoolAdded and PoolRemoved
	Server   string // the server's, shard's or master's name; "" for other kinds
	Line     int    // in the newer file; 0 if it has no such line
	Was, Now string // values as a file has them, for people; "" if there is none
}

// Changes returns what is different in now, in the order of the tables' fields: [proxy], [admin],
// then the pools of now, then those that are gone. Two configurations that do the same have no
// changes, even if their texts differ. The result is the caller's.
func Changes(was, now *Config) []Change {
	d := differ{now: now}
	d.table = Change{Table: "proxy"}
	d.fields(reflect.ValueOf(was.Proxy), reflect.ValueOf(now.Proxy), proxyFields)
	d.table = Change{Table: "admin"}
	d.fields(reflect.ValueOf(was.Admin), reflect.ValueOf(now.Admin), adminFields)
	for i := range now.Pools {
		p := &now.Pools[i]
		d.table = Change{Table: "pools", Pool: p.Name}
		if before := was.named(p.Name); before != nil {
			d.fields(reflect.ValueOf(*before), reflect.ValueOf(*p), poolFields)
			d.servers(before, p)
		} else {
			d.add(Change{Kind: PoolAdded, Line: now.lines[place{table: poolTable(p.Name)}]})
		}
	}
	for i := range was.Pools {
		if name := was.Pools[i].Name; now.named(name) == nil {
			d.table = Change{Table: "pools", Pool: name}
			d.add(Change{Kind: PoolRemoved})
		}
	}
	return d.changes
}

// Pool returns the pool with a name; one with defaults, and no servers, if there is none any more. The
// caller must not change it. Any goroutine may call it.
func (c *Config) Pool(name string) *Pool {
	if p := c.named(name); p != nil {
		return p
	}
	p := DefaultPool(name)
	return &p
}

// named returns the pool with a name; nil if there is none.
func (c *Config) named(name string) *Pool {
	if i := slices.IndexFunc(c.Pools, func(p Pool) bool { return p.Name == name }); i >= 0 {
		return &c.Pools[i]
	}
	return nil
}

// differ collects the changes of two configurations.
type differ struct {
	now     *Config
	table   Change // the table that is compared
	changes []Change
}

// add adds a change to the table.
func (d *differ) add(c Change) {
	c.Table, c.Pool = d.table.Table, d.table.Pool
	d.changes = append(d.changes, c)
}

// line returns the line of a key, or of an entry of its list, in the newer file.
func (d *differ) line(key, entry string) int {
	table := d.table.Table
	if table == "pools" {
		table = poolTable(d.table.Pool)
	}
	return d.now.lines[place{table, key, entry}]
}

// fieldKeys holds the keys that set each field of a struct.
type fieldKeys map[string][]string

// foreignFields are the fields of keys that have another name, by table and key; "" if a key sets none.
var foreignFields = map[string]string{
	"proxy.pubsub_output_soft_limit": "PubSubOutputSoft",
	"proxy.pubsub_output_soft_time":  "PubSubOutputTime",
	"pools.client_connections":       "MaxClients",
	"pools.tls":                      "ClientTLS",
	"pools.eject":                    "AutoEjectHosts",
	"pools.masters":                  "Shards",
	"pools.redis":                    "",
	"pools.acl_file":                 "Users",
	"pools.redis_auth_file":          "RedisAuth",
	"pools.sentinel_auth_file":       "SentinelAuth",
	"admin.password_file":            "Password",
}

var (
	proxyFields = fieldsOf("proxy", proxySettings)
	adminFields = fieldsOf("admin", adminSettings)
	poolFields  = fieldsOf("pools", poolSettings)
)

func init() { poolFields["OwnLimits"] = []string{"users"} } // a table in each user's

// fieldsOf finds the field of each key of a table: that of the same name, which has capitals for
// underscores, or that of foreignFields.
func fieldsOf[T any](table string, settings []setting[T]) fieldKeys {
	keys := fieldKeys{}
	for _, s := range settings {
		name, foreign := foreignFields[table+"."+s.name]
		if !foreign {
			name = strings.ReplaceAll(s.name, "_", "")
		}
		field, ok := reflect.TypeFor[T]().FieldByNameFunc(func(field string) bool { return strings.EqualFold(field, name) })
		if ok {
			keys[field.Name] = append(keys[field.Name], s.name)
		}
	}
	return keys
}

// listFields are the fields of a Pool that servers compares, by the names of what they list.
var listFields = []string{"Name", "Servers", "Shards"}

// fields compares two structs of settings, field by field.
func (d *differ) fields(was, now reflect.Value, keys fieldKeys) {
	for i := range now.NumField() {
		field := now.Type().Field(i)
		if d.table.Table == "pools" && slices.Contains(listFields, field.Name) || reflect.DeepEqual(was.Field(i).Interface(), now.Field(i).Interface()) {
			continue
		}
		c := Change{Kind: SettingChanged, Key: keys[field.Name][0], Was: valueText(field.Name, was.Field(i)), Now: valueText(field.Name, now.Field(i))}
		for _, key := range keys[field.Name] {
			if line := d.line(key, ""); line > 0 {
				c.Key, c.Line = key, line
			}
		}
		d.add(c)
	}
}

// member is what stands on a pool's ring, or one of the servers to ask of a Cluster.
type member struct {
	name, at string
	weight   int
}

// members returns what a pool lists, and the key that lists it.
func (p *Pool) members() (key string, all []member) {
	for _, s := range p.Servers {
		all = append(all, member{s.Name, quote(s.Addr), s.Weight})
	}
	for _, s := range p.Shards {
		all = append(all, member{s.Name, addrsText(s.Servers), s.Weight})
	}
	switch p.Topology {
	case Replicated:
		return "shards", all
	case Sentinel:
		return "masters", all
	}
	return "servers", all
}

// servers compares the servers, shards or masters of a pool by their names.
func (d *differ) servers(was, now *Pool) {
	keyWas, before := was.members()
	key, after := now.members()
	kinds := len(d.changes)
	find := func(in []member, name string) *member {
		if i := slices.IndexFunc(in, func(m member) bool { return m.name == name }); i >= 0 {
			return &in[i]
		}
		return nil
	}
	for _, m := range after {
		c := Change{Key: key, Server: m.name, Line: d.line(key, m.name)}
		old := find(before, m.name)
		if old == nil {
			c.Kind, c.Now = ServerAdded, m.text()
			d.add(c)
			continue
		}
		if old.at != m.at {
			c.Kind, c.Was, c.Now = ServerMoved, old.at, m.at
			d.add(c)
		}
		if old.weight != m.weight {
			c.Kind, c.Was, c.Now = ServerWeighted, fmt.Sprint(old.weight), fmt.Sprint(m.weight)
			d.add(c)
		}
	}
	for _, m := range before {
		if find(after, m.name) == nil {
			d.add(Change{Kind: ServerRemoved, Key: keyWas, Server: m.name, Was: m.text()})
		}
	}
	if len(d.changes) == kinds && !slices.Equal(before, after) {
		d.add(Change{Kind: ServersReplaced, Key: key, Line: d.line(key, "")})
	}
}

// text returns where a member is, and its weight if it has one.
func (m member) text() string {
	if m.weight == 1 {
		return m.at
	}
	return strings.TrimSpace(fmt.Sprintf("%s weight %d", m.at, m.weight))
}

// String returns the change in one line, such as
//
//	pools.alpha: timeout "400ms" -> "1s" (line 12)
//
// Values that are long are cut.
func (c Change) String() string {
	what := c.what()
	switch {
	case c.Line > 0:
		what += fmt.Sprintf(" (line %d)", c.Line)
	case c.Kind == SettingChanged:
		what += " (the default)"
	}
	table := c.Table
	if c.Pool != "" {
		table = toml.Key{c.Table, c.Pool}.String()
	}
	return oneLine(table + ": " + what)
}

// what returns what has changed, without the place.
func (c Change) what() string {
	server := strings.TrimSuffix(c.Key, "s") + " " + c.Server
	was, now := shortened(c.Was), shortened(c.Now)
	switch c.Kind {
	case PoolAdded:
		return "pool added"
	case PoolRemoved:
		return "pool removed"
	case ServerAdded:
		return strings.TrimSpace(server + " added " + now)
	case ServerRemoved:
		return strings.TrimSpace(server + " removed " + was)
	case ServerMoved:
		return server + " " + was + " -> " + now
	case ServerWeighted:
		return server + " weight " + was + " -> " + now
	case ServersReplaced:
		return c.Key + " in another order"
	}
	return c.Key + " " + was + " -> " + now
}

// startKeys are the settings that are read at the start only, by table and key.
var startKeys = []string{
	"proxy.threads", "proxy.io_uring", "proxy.statistics", "proxy.stats_listen", "proxy.log_format",
	"admin.listen", "pools.backlog", "pools.reuseport",
}

// NeedsRestart reports whether the change can't be made while the process runs.
func (c Change) NeedsRestart() bool {
	return c.Kind == SettingChanged && slices.Contains(startKeys, c.Table+"."+c.Key)
}
