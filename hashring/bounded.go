package hashring

import (
	"fmt"
	"strconv"

	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"
)

const (
	// boundedPartitions is the number of parts of the key space that are dealt
	// out. It never depends on the servers, or adding one would move every key.
	// A power of two, so that the low bits of XXH64 choose the same partition
	// as all 64 bits do in the library.
	boundedPartitions = 4096

	// boundedReplicas is the number of points of a unit of weight on the
	// library's circle.
	boundedReplicas = 40

	// boundedLoad bounds what a unit of weight gets, as a multiple of the mean.
	boundedLoad = 1.10

	// maxBoundedUnits bounds the sum of the weights, so that a unit's mean of
	// partitions is large enough for the bound to mean something.
	maxBoundedUnits = 128
)

// partitions maps the low bits of a hash value to the index of a server.
type partitions [boundedPartitions]uint8

// A unit is a member of the library's circle. A server of weight w is w
// members of equal standing, each under the same bound, so that the server's
// bound is w times theirs.
type unit struct {
	name   string
	server uint8
}

func (u unit) String() string { return u.name }

// xxh64 gives the library its hash for partitions and members.
type xxh64 struct{}

func (xxh64) Sum64(b []byte) uint64 { return xxhash.Sum64(b) }

// newPartitions deals the partitions out to the live servers. The library
// looks partitions up in a map under a lock, which a request cannot afford;
// so the answers are copied out here.
func newPartitions(servers []Server, live []bool) *partitions {
	c := consistent.New(units(servers, live), consistent.Config{
		Hasher:            xxh64{},
		PartitionCount:    boundedPartitions,
		ReplicationFactor: boundedReplicas,
		Load:              boundedLoad,
	})
	var p partitions
	for i := range p {
		p[i] = c.GetPartitionOwner(i).(unit).server
	}
	return &p
}

// units returns the members that stand for the live servers. Weights count by
// their ratio over all servers, live or not: a server's members must keep
// their names when another one leaves.
func units(servers []Server, live []bool) []consistent.Member {
	divisor := commonDivisor(servers)
	var members []consistent.Member
	for i, s := range servers {
		if !live[i] {
			continue
		}
		for n := range s.Weight / divisor {
			// The number comes first: digits up to the first slash, so that no
			// two servers can have members of one name.
			members = append(members, unit{strconv.Itoa(n) + "/" + s.Name, uint8(i)})
		}
	}
	return members
}

// checkBounded returns an error when the weights are too many to be dealt
// with fairly.
func checkBounded(servers []Server) error {
	divisor, sum := commonDivisor(servers), 0
	for _, s := range servers {
		sum += s.Weight / divisor
	}
	if sum > maxBoundedUnits {
		return fmt.Errorf("sum of weights %d: distribution bounded takes up to %d, after division by common factors", sum, maxBoundedUnits)
	}
	return nil
}

// commonDivisor returns the greatest common divisor of all weights.
func commonDivisor(servers []Server) int {
	divisor := 0
	for _, s := range servers {
		for a := s.Weight; a != 0; {
			divisor, a = a, divisor%a
		}
	}
	return divisor
}
