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

	Software  string        // as "redis 7.0.15"
	Role      string        // "master" or "slave", as INFO gives it; "" of a Sentinel
	Ping      time.Duration // from PING to its reply, on a connection that is there
	Keys      int64         // in all databases
	MaxMemory int64         // bytes; 0: no limit
	Policy    string        // maxmemory_policy
	Others    []string      // INSTANCE of each Ringway that is connected, sorted; nil if CLIENT LIST is denied
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
		return append(sentinels, inspectAll(ctx, c, all, servers)...)
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
	return inspectAll(ctx, c, all, servers)
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
	if err := client.Ping(ctx).Err(); err != nil && !redis.HasErrorPrefix(err, "LOADING") {
		in.Problem = problemOf(err)
		return
	}
	start := time.Now()
	client.Ping(ctx)
	in.Ping = time.Since(start)
	text, err := client.Info(ctx).Result()
	if err != nil {
		in.Problem = "it does not answer INFO: " + err.Error()
		return
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		info[name] = value
		if keys, ok := strings.CutPrefix(value, "keys="); ok && strings.HasPrefix(name, "db") {
			number, _, _ := strings.Cut(keys, ",")
			in.Keys += parseInt(number, 0)
		}
	}
	in.Software = "redis " + info["redis_version"]
	if v := info["valkey_version"]; v != "" {
		in.Software = "valkey " + v
	}
	in.Role, in.Policy, in.MaxMemory = info["role"], info["maxmemory_policy"], parseInt(info["maxmemory"], 0)
	if list, err := client.Do(ctx, "CLIENT", "LIST").Text(); err == nil {
		in.Others = instancesIn(list)
	}
	in.Problem = misfit(c, info)
}

// misfit returns why a server that answers does not fit the pool's topology; "" if it does.
func misfit(c *conf.Pool, info map[string]string) string {
	inCluster := info["cluster_enabled"] == "1"
	switch {
	case info["loading"] == "1":
		return "it is loading its data; try again when it is done"
	case c.Topology == conf.Cluster && !inCluster:
		return `it belongs to no Redis Cluster (cluster-enabled no); want topology = "static", or a server of the Cluster`
	case c.Topology != conf.Cluster && inCluster:
		return `it belongs to a Redis Cluster; want topology = "cluster"`
	case c.Topology == conf.Static && info["role"] == "slave":
		return fmt.Sprintf(`it is a replica of %s, and refuses writes; want its primary, or topology = "replicated"`, net.JoinHostPort(info["master_host"], info["master_port"]))
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
func instancesIn(list string) (instances []string) {
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
		in := Inspection{Shard: "Sentinel", Addr: at.Addr, Software: "sentinel"}
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
		if missing != nil && in.Problem == "" {
			in.Problem = "it knows no master named " + strings.Join(missing, ", ")
		}
		all = append(all, in)
	}
	return all, masters
}
