package topology_test

import (
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/topology"
)

// inspectFile returns what the servers of a configuration's pool say.
func inspectFile(t *testing.T, lines ...string) []topology.Inspection {
	t.Helper()
	cfg, _, err := conf.Parse([]byte("[pools.alpha]\nlisten = \"127.0.0.1:0\"\nconnect_timeout = \"20s\"\n"+strings.Join(lines, "\n")), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	return topology.Inspect(t.Context(), &cfg.Pools[0])
}

// quoted is a list of the servers in TOML.
func quoted(servers ...string) string { return `["` + strings.Join(servers, `", "`) + `"]` }

func TestInspectSaysWhatServersAre(t *testing.T) {
	t.Parallel()
	good, locked := redistest.Start(t, redistest.Args("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")), redistest.Start(t, redistest.Password("secret"))
	replica := redistest.Start(t, redistest.ReplicaOf(good))
	inCluster := redistest.Start(t, redistest.Args("--cluster-enabled", "yes"))
	redistest.Eventually(t, patience, "the replica follows", func() bool { return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up") })
	good.Do("MSET", "a", "1", "b", "2")
	for _, name := range []string{"ringway/two/0", "ringway/one/0", "ringway/one/0", "other"} {
		redistest.Dial(t, "tcp", good.Addr()).Do("CLIENT", "SETNAME", name)
	}
	gone := redistest.FreeAddr(t)
	got := inspectFile(t, "servers = "+quoted(good.Addr()+":1 good", locked.Addr()+":1 locked", replica.Addr()+":1 replica", inCluster.Addr()+":1 member", gone+":1 gone"))
	of := func(shard string) topology.Inspection {
		return got[slices.IndexFunc(got, func(in topology.Inspection) bool { return in.Shard == shard })]
	}
	for _, want := range []struct{ shard, problem, role string }{
		{"good", "^$", "master"},
		{"locked", "^it wants a password; set redis_auth", ""},
		{"replica", "^it is a replica of " + regexp.QuoteMeta(good.Addr()) + ", and refuses writes; want its primary", "slave"},
		{"member", `^it belongs to a Redis Cluster; want topology = "cluster"$`, "master"},
		{"gone", "connection refused", ""},
	} {
		if in := of(want.shard); !regexp.MustCompile(want.problem).MatchString(in.Problem) || in.Role != want.role || strings.HasPrefix(in.Software, "redis ") != (want.role != "") {
			t.Errorf("%+v, want %+v", in, want)
		}
	}
	if in := of("good"); in.Keys != 2 || in.MaxMemory != 100<<20 || in.Policy != "allkeys-lru" || !slices.Equal(in.Others, []string{"one", "two"}) {
		t.Errorf("%+v", in)
	}
	wrong := inspectFile(t, "servers = "+quoted(locked.Addr()+":1 locked"), `redis_auth = "wrong"`)
	if got := wrong[0].Problem; got != "it refuses the password of redis_auth" {
		t.Errorf("%q", got)
	}
	alone := inspectFile(t, "servers = "+quoted(good.Addr()), `topology = "cluster"`)
	if got := alone[0].Problem; !strings.HasPrefix(got, "it belongs to no Redis Cluster") {
		t.Errorf("%q", got)
	}
}

func TestInspectAsksSentinelsForMasters(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	sentinels := redistest.StartSentinels(t, 1, map[string]*redistest.Group{"s1": g})
	got := inspectFile(t, `topology = "sentinel"`, "sentinels = "+quoted(sentinels[0].Addr(), redistest.FreeAddr(t)), `masters = ["s1", "s2"]`)
	if len(got) != 3 || got[0].Problem != "it knows no master named s2" || !strings.Contains(got[1].Problem, "connection refused") || got[0].Software != "sentinel" || got[1].Software != "" ||
		got[2].Shard != "s1" || got[2].Problem != "" || got[2].Role != "master" {
		t.Fatalf("%+v", got)
	}
	if _, port, _ := net.SplitHostPort(got[2].Addr); !strings.HasSuffix(g.Primary.Addr(), ":"+port) {
		t.Errorf("master at %s, want %s", got[2].Addr, g.Primary.Addr())
	}
}

// A pool works with a user that may run neither INFO nor CLIENT LIST, so nothing is wrong with it.
func TestInspectNeedsNoRightToInfo(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	replica := redistest.Start(t, redistest.ReplicaOf(s))
	version := s.Client().InfoMap(t.Context(), "server").Item("Server", "redis_version")
	for _, each := range []*redistest.Server{s, replica} {
		each.Do("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-info", "-client")
	}
	lines := []string{`redis_user = "app"`, `redis_auth = "secret"`}
	got := inspectFile(t, append(lines, "servers = "+quoted(s.Addr()))...)
	if in := got[0]; in.Problem != "" || in.Software != "redis "+version || in.Role != "master" || in.HasInfo || in.Others != nil {
		t.Errorf("%+v", in)
	}
	got = inspectFile(t, append(lines, "servers = "+quoted(replica.Addr()))...)
	if in := got[0]; !strings.HasPrefix(in.Problem, "it is a replica, and refuses writes") {
		t.Errorf("%+v", in)
	}
}

func TestInspectMissesAPrimary(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replicas := []*redistest.Server{redistest.Start(t, redistest.ReplicaOf(primary)), redistest.Start(t, redistest.ReplicaOf(primary))}
	pool := func(servers ...string) []string {
		return []string{`topology = "replicated"`, "[[pools.alpha.shards]]", `name = "s1"`, "servers = " + quoted(servers...)}
	}
	got := inspectFile(t, pool(replicas[0].Addr(), replicas[1].Addr())...)
	if got[0].Problem != "it is a replica, and no server of the shard is a primary; want the primary in servers" || got[1].Problem != "" {
		t.Errorf("%+v", got)
	}
	for _, in := range inspectFile(t, pool(replicas[0].Addr(), primary.Addr())...) {
		if in.Problem != "" {
			t.Errorf("%+v", in)
		}
	}
}
