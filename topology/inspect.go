package topology

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/conf"
)

// An Inspection is what one server says of itself to an operator who sets up a pool.
type Inspection struct {
	Shard string // the server's or shard's name in the pool; "Sentinel" of a Sentinel
	Addr  string

	// Problem is why the pool can't use the server as it is configured, and what would be right; "" if it can.
	// If the server has not answered, what follows is empty.
	Problem string

	Software string        // as "redis 7.0.15"
	Role     string        // "master" or "slave", as INFO gives it; "" of a Sentinel
	Ping     time.Duration // from PING to its reply, on a connection that is there
	Others   []string      // INSTANCE of each Ringway that is connected, sorted; nil if CLIENT LIST is denied

	// From INFO. If the pool's user may not run it, HasInfo is false and these are not known.
	HasInfo   bool
	Keys      int64  // in all databases
	MaxMemory int64  // bytes; 0: no limit
	Policy    string // maxmemory_policy
}

// Inspect asks all servers of a pool at the same time, each for at most a few times connect_timeout. Of a pool of topology
// sentinel it asks one Sentinel after the other, and then each master where the first Sentinel that knows it says it is.
func Inspect(ctx context.Context, c *conf.Pool) []Inspection {
	var all []Inspection
	var servers []conf.Server // that all of them are about
	add := func(shard string, s conf.Server) {
		all, servers = append(all, Inspection{Shard: shard, Addr: s.Addr}), append(servers, s)
	}
	switch c.Topology {
	case conf.Sentinel:
		sentinels, masters := inspectSentinels(ctx, c)
		for i := range c.Shards {
			if addr := masters[c.Shards[i].Name]; addr != "" {
				add(c.Shards[i].Name, conf.Server{Network: "tcp", Addr: addr})
			}
		}
		return append(sentinels, requirePrimaries(c, inspectAll(ctx, c, all, servers))...)
	case conf.Replicated:
		for i := range c.Shards {
			for _, s := range c.Shards[i].Servers {
				add(c.Shards[i].Name, s)
			}
		}
	default:
		for _, s := range c.Servers {
			add(s.Name, s)
		}
	}
	return requirePrimaries(c, inspectAll(ctx, c, all, servers))
}

// requirePrimaries adds a problem to the first server of each shard that has no primary, where primaries change.
func requirePrimaries(c *conf.Pool, all []Inspection) []Inspection {
	if c.Topology != conf.Replicated && c.Topology != conf.Sentinel {
		return all
	}
	for i := range all {
		first := slices.IndexFunc(all, func(in Inspection) bool { return in.Shard == all[i].Shard })
		hasOther := slices.ContainsFunc(all, func(in Inspection) bool { return in.Shard == all[i].Shard && in.Role != "slave" })
		switch {
		case first != i || hasOther: // one that does not answer may be the primary
		case c.Topology == conf.Sentinel:
			all[i].Problem = cmp.Or(all[i].Problem, "it is a replica, and the Sentinels call it the master; try again, a failover may be under way")
		default:
			all[i].Problem = cmp.Or(all[i].Problem, "it is a replica, and no server of the shard is a primary; want the primary in servers")
		}
	}
	return all
}

// inspectAll fills in each of all by asking the server of the same index.
func inspectAll(ctx context.Context, c *conf.Pool, all []Inspection, servers []conf.Server) []Inspection {
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i].ask(ctx, c, &servers[i]) })
	}
	wg.Wait()
	return all
}

// ask fills in what the server says.
func (in *Inspection) ask(ctx context.Context, c *conf.Pool, s *conf.Server) {
	client := NewClient(ctx, c, s)
	defer client.Close()
	info := map[string]string{}
	switch err := client.Ping(ctx).Err(); {
	case redis.HasErrorPrefix(err, "LOADING"):
		info["loading"] = "1" // as INFO says it, which may be denied
	case err != nil:
		in.Problem = problemOf(err)
		return
	}
	start := time.Now()
	client.Ping(ctx)
	in.Ping = time.Since(start)
	if list, err := client.Do(ctx, "CLIENT", "LIST").Text(); err == nil {
		in.Others = instancesIn(list)
	}
	if hello, err := client.Do(ctx, "HELLO").Result(); err == nil {
		in.Software = helloField(hello, "server") + " " + helloField(hello, "version")
		in.Role = helloField(hello, "role")
		if in.Role == "replica" {
			in.Role = "slave"
		}
		if helloField(hello, "mode") == "cluster" {
			info["cluster_enabled"] = "1"
		}
	}
	text, err := client.Info(ctx).Result()
	if err == nil {
		in.readInfo(info, text)
	} else if in.Software == "" {
		in.Problem = "it answers neither HELLO nor INFO: " + err.Error()
		return
	}
	in.Problem = misfit(c, in.Role, info)
}

// readInfo reads what INFO says into info, and fills in what an operator is told of it.
func (in *Inspection) readInfo(info map[string]string, text string) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		info[name] = value
		if keys, ok := strings.CutPrefix(value, "keys="); ok && strings.HasPrefix(name, "db") {
			number, _, _ := strings.Cut(keys, ",")
			in.Keys += parseInt(number, 0)
		}
	}
	in.HasInfo = true
	in.Software = "redis " + info["redis_version"]
	if v := info["valkey_version"]; v != "" {
		in.Software = "valkey " + v
	}
	in.Role, in.Policy, in.MaxMemory = info["role"], info["maxmemory_policy"], parseInt(info["maxmemory"], 0)
}

// misfit returns why a server that answers does not fit the pool's topology; "" if it does. info is what INFO says, as far as
// it is known.
func misfit(c *conf.Pool, role string, info map[string]string) string {
	inCluster := info["cluster_enabled"] == "1"
	switch {
	case info["loading"] == "1":
		return "it is loading its data; try again when it is done"
	case c.Topology == conf.Cluster && !inCluster:
		return `it belongs to no Redis Cluster (cluster-enabled no); want topology = "static", or a server of the Cluster`
	case c.Topology != conf.Cluster && inCluster:
		return `it belongs to a Redis Cluster; want topology = "cluster"`
	case c.Topology == conf.Static && role == "slave":
		of := ""
		if info["master_host"] != "" {
			of = " of " + net.JoinHostPort(info["master_host"], info["master_port"])
		}
		return fmt.Sprintf(`it is a replica%s, and refuses writes; want its primary, or topology = "replicated"`, of)
	}
	return ""
}

// problemOf words an error of connecting or of PING.
func problemOf(err error) string {
	switch {
	case redis.HasErrorPrefix(err, "NOAUTH"):
		return "it wants a password; set redis_auth, and redis_user if the password is an ACL user's"
	case redis.HasErrorPrefix(err, "WRONGPASS"), strings.Contains(err.Error(), "invalid password"):
		return "it refuses the password of redis_auth"
	case strings.Contains(err.Error(), "AUTH <password> called without any password"):
		return "it has no password, and the pool has redis_auth"
	}
	return err.Error()
}

// instancesIn returns, of the clients in CLIENT LIST, the instances of Ringway: the middle of ringway/INSTANCE/EPOCH.
func instancesIn(list string) []string {
	instances := []string{}
	for line := range strings.Lines(list) {
		for field := range strings.FieldsSeq(line) {
			name, ok := strings.CutPrefix(field, "name=ringway/")
			if end := strings.LastIndexByte(name, '/'); ok && end > 0 && !slices.Contains(instances, name[:end]) {
				instances = append(instances, name[:end])
			}
		}
	}
	slices.Sort(instances)
	return instances
}

// inspectSentinels asks each Sentinel for the pool's masters. masters has the address of each that is known.
func inspectSentinels(ctx context.Context, c *conf.Pool) (all []Inspection, masters map[string]string) {
	masters = map[string]string{}
	for _, at := range c.Sentinels {
		in := Inspection{Shard: "Sentinel", Addr: at.Addr}
		client := newSentinelClient(ctx, c, at.Addr)
		var missing []string
		for i := range c.Shards {
			name := c.Shards[i].Name
			start := time.Now()
			told, err := client.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name).StringSlice()
			switch in.Ping = time.Since(start); {
			case err == redis.Nil:
				missing = append(missing, name)
			case err != nil:
				in.Problem = problemOf(err)
			case len(told) == 2:
				masters[name] = cmp.Or(masters[name], net.JoinHostPort(told[0], told[1]))
			}
			if in.Problem != "" {
				break
			}
		}
		client.Close()
		if in.Problem == "" {
			in.Software = "sentinel"
		}
		if missing != nil && in.Problem == "" {
			in.Problem = "it knows no master named " + strings.Join(missing, ", ")
		}
		all = append(all, in)
	}
	return all, masters
}
