package hashring

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"
)

const (
	pointsPerServer = 160 // of a server of average weight
	pointsPerDigest = 4   // an MD5 digest is cut into four points
	maxPointName    = 272 // bytes of "name-i" that twemproxy's buffer holds
	maxJumpBits     = 16  // bounds the table of searches' starts at 256 KiB
	cellBitsPerJump = 5
	maxCellBits     = 17 // bounds the table of cells at 256 KiB
)

// A point gives the hash values from the point before it up to its own value
// to a server. Value and owner lie together so that a lookup touches one
// cache line of points.
type point struct {
	value uint32
	owner uint32 // index into Config.Servers
}

// A continuum is the circle of ketama's points, arranged for lookup. It is
// immutable.
type continuum struct {
	// points ascend by value, equal values by owner. After the last real point
	// comes one that closes the circle: the highest value there is, owned by
	// the first point's owner. So a search upwards always ends.
	points []point

	// cells holds for each prefix of a hash value the server that owns all values
	// with that prefix, or mixed if there are several. A search mispredicts a
	// branch, which can be noticed only when the whole hash is there. With many
	// cells a point, 51 for four servers and 8 for a hundred, that is rare: the
	// processor is at the next request while it still computes this one's hash.
	cells     []uint16
	cellShift uint32 // right shift that leaves a prefix

	// jump holds for each shorter prefix where a search starts: the first point
	// that is not below all values with that prefix. MD5 spreads points evenly, so
	// with about one prefix a point the search is over after a step or two.
	jump      []uint32
	jumpShift uint32
}

// mixed stands for no server; nor do higher numbers have room in a cell.
const mixed = math.MaxUint16

// newContinuum places the live servers on the circle.
func newContinuum(servers []Server, live []bool) continuum {
	points := ketamaPoints(servers, live)
	slices.SortFunc(points, func(a, b point) int {
		// twemproxy's sort is stable, so ties stay in the order of servers.
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.owner, b.owner))
	})

	jumpBits := min(bits.Len(uint(len(points))), maxJumpBits)
	cellBits := min(jumpBits+cellBitsPerJump, maxCellBits)
	c := continuum{
		points: append(points, point{value: math.MaxUint32, owner: points[0].owner}),
		jump:   make([]uint32, 1<<jumpBits), jumpShift: uint32(32 - jumpBits),
		cells: make([]uint16, 1<<cellBits), cellShift: uint32(32 - cellBits),
	}
	next := 0
	for prefix := range c.jump {
		for c.points[next].value < uint32(prefix)<<c.jumpShift {
			next++
		}
		c.jump[prefix] = uint32(next)
	}
	for prefix := range c.cells {
		first := uint32(prefix) << c.cellShift
		last := first | (1<<c.cellShift - 1)
		c.cells[prefix] = mixed
		if p := c.search(first); p.value >= last && p.owner < mixed {
			c.cells[prefix] = uint16(p.owner)
		}
	}
	return c
}

// owner returns the index of the server that owns h: that of the first point
// not below h, or of the first of all when there is none.
func (c *continuum) owner(h uint32) int {
	if owner := c.cells[h>>(c.cellShift&31)]; owner != mixed {
		return int(owner)
	}
	return int(c.search(h).owner)
}

// search returns the first point not below h.
func (c *continuum) search(h uint32) point {
	i := uint(c.jump[h>>(c.jumpShift&31)])
	for c.points[i].value < h {
		i++
	}
	return c.points[i]
}

// circle returns the real points, without the one that closes the circle.
func (c *continuum) circle() []point {
	return c.points[:len(c.points)-1]
}

// ketamaPoints returns the points of the live servers, unsorted.
// The algorithm is twemproxy's nc_ketama.c.
func ketamaPoints(servers []Server, live []bool) []point {
	var n int
	var total uint32
	for i, s := range servers {
		if live[i] {
			n++
			total += uint32(s.Weight)
		}
	}

	points := make([]point, 0, n*pointsPerServer+1)
	name := make([]byte, 0, maxPointName)
	for i, s := range servers {
		if !live[i] {
			continue
		}
		for digest := range ketamaDigests(s.Weight, total, n) {
			name = append(append(name[:0], s.Name...), '-')
			name = strconv.AppendInt(name, int64(digest), 10)
			sum := md5.Sum(name[:min(len(name), maxPointName)])
			for at := 0; at < len(sum); at += len(sum) / pointsPerDigest {
				points = append(points, point{binary.LittleEndian.Uint32(sum[at:]), uint32(i)})
			}
		}
	}
	return points
}

// ketamaDigests returns how many digests, of four points each, a server of
// that weight has among n live servers whose weights sum to total. It may be 0.
//
// Every step is rounded to single precision, as in twemproxy's C: the rounding
// decides where the product falls just short of a whole number. Equal weights
// then give 39 digests instead of 40 for n = 25, 47, 50 and others.
func ketamaDigests(weight int, total uint32, n int) int {
	share := float32(weight) / float32(total)
	digests := float32(float32(share*pointsPerServer) / pointsPerDigest)
	digests = float32(digests * float32(n))
	digests = float32(float64(digests) + 0.0000000001)
	return int(math.Floor(float64(digests)))
}
