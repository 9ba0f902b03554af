package redistest

import (
	"strconv"
	"strings"
	"testing"
)

func TestReplicasOfAGroupFollow(t *testing.T) {
	g := StartGroup(t, 2, Password("secret"))
	g.Primary.Do("SET", "k", "v")
	for _, r := range g.Replicas {
		r.eventuallySays(t, "$1\r\nv\r\n", "GET", "k")
	}
}

func TestSentinelsFailOverAndRemember(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	g := StartGroup(t, 1, Password("secret"))
	sentinels := StartSentinels(t, 3, map[string]*Group{"s1": g},
		"sentinel down-after-milliseconds s1 300",
		"sentinel failover-timeout s1 2000") // a vote without a majority is repeated after twice that
	g.Primary.Kill()
	replica := "\r\n" + strconv.Itoa(g.Replicas[0].Port()) + "\r\n"
	for _, s := range sentinels {
		s.eventuallySays(t, replica, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "s1")
	}
	g.Replicas[0].eventuallySays(t, "\r\nmaster\r\n", "ROLE")
	sentinels[0].Restart()
	if got := sentinels[0].Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "s1"); !strings.Contains(got, replica) {
		t.Errorf("after a restart: got %q, want port %q", got, replica)
	}
}

func TestClusterServesEverySlot(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	groups := StartCluster(t, 3, 1)
	if got := groups[0].Primary.Do("SET", "bar", "v"); got != "+OK\r\n" { // slot 5061
		t.Errorf("SET at its owner: got %q", got)
	}
	want := "-MOVED 12182 " + groups[2].Primary.Addr() + "\r\n"
	if got := groups[0].Primary.Do("SET", "foo", "v"); got != want {
		t.Errorf("SET elsewhere: got %q, want %q", got, want)
	}
	groups[0].Replicas[0].eventuallySays(t, ":1\r\n", "DBSIZE")
	groups[2].Primary.Restart()
	groups[0].Primary.eventuallySays(t, "cluster_state:ok\r\n", "CLUSTER", "INFO")
}
