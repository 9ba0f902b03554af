package hatest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// reads returns how many GETs a server has executed.
func reads(s *redistest.Server) int {
	_, rest, _ := strings.Cut(s.Do("INFO", "commandstats"), "cmdstat_get:calls=")
	number, _, _ := strings.Cut(rest, ",")
	n, _ := strconv.Atoi(number)
	return n
}

// With read_from = "prefer_replica" replicas answer read-only commands. A replica that
// has lost its primary is left out, and read again later. A replica that becomes the
// primary gets the writes.
func TestReplicasOfAClusterAreRead(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 1)
	p, log := serveCluster(t, c, `read_from = "prefer_replica"`, `probe_interval = "100ms"`)
	s := p.talk(t)
	primaries := c.Servers[:3]
	replicas := c.Servers[3:]
	for i := range 30 {
		s.do(fmt.Sprint("SET k", i, " v"), "+OK\r\n")
	}
	readAll := func() {
		t.Helper()
		for i := range 30 {
			key := fmt.Sprint("k", i)
			redistest.Eventually(t, waitLimit, key+" is there", func() bool { return s.Do("GET", key) == "$1\r\nv\r\n" })
		}
	}
	// Which replicas are fit has to be seen first.
	redistest.Eventually(t, waitLimit, "each replica is read", func() bool {
		readAll()
		return reads(replicas[0]) > 0 && reads(replicas[1]) > 0 && reads(replicas[2]) > 0
	})
	redistest.Eventually(t, waitLimit, "no read goes to a primary", func() bool {
		before := reads(primaries[0]) + reads(primaries[1]) + reads(primaries[2])
		readAll()
		return reads(primaries[0])+reads(primaries[1])+reads(primaries[2]) == before
	})

	replica := c.ReplicaOf(primaries[0])
	replica.Stop()
	log.await(t, "replica unhealthy")
	readAll()
	replica.Cont()
	log.await(t, "replica healthy again")
	read := reads(replica)
	redistest.Eventually(t, waitLimit, "it is read again", func() bool {
		readAll()
		return reads(replica) > read
	})

	c.Failover(replica, "")
	log.await(t, "failover: replica promoted")
	for i := range 30 {
		s.do(fmt.Sprint("SET k", i, " v"), "+OK\r\n")
	}
	readAll()
}
