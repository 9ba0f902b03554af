package join

import (
	"bytes"
	"hash/crc32"
	"slices"
	"strconv"

	"ringway/resp"
)

// ClusterCursor is the cursor of a SCAN in a Cluster.
//
// SCAN promises every key that exists from its beginning to its end. In a Cluster a slot may move
// during a scan from a shard that was not scanned yet to one that was, and its keys would be
// missed. So the primaries are asked, before and after a pass over all shards, which slots they
// serve and whether one is being moved. If that has changed, another pass follows, which finds the
// keys that moved during the first. A key that moves again in every pass is found by none;
// scanPasses bounds the effort.
//
// The number that a client sees holds all of it, so that a scan may go on over another connection
// or another proxy:
//
//	bits 0-9    the shard, or AllScanned
//	bits 10-11  the pass, or scanOne
//	bits 12-23  a checksum of who served what as the pass began
//	bits 24-63  the shard's own cursor
type ClusterCursor struct {
	Shard int    // where the scan goes on, or AllScanned
	Pass  int    // from 0, or scanOne
	Sum   uint32 // SlotSum as the pass began
	Own   uint64 // the shard's own cursor
}

// AllScanned stands for a shard: the pass is over, and the primaries are to be asked whether slots
// have moved meanwhile.
const AllScanned = 1<<scanShardBits - 1

const (
	scanShardBits = 10
	scanPassBits  = 2
	scanSumBits   = 12
	scanOwnShift  = scanShardBits + scanPassBits + scanSumBits

	scanPasses = 3

	// scanOne stands for the pass of a scan for keys of one slot: it goes to one shard.
	scanOne = 1<<scanPassBits - 1
)

// Checksums with a meaning of their own.
const (
	// SumMoving means that slots were moving, or that a primary did not say.
	SumMoving = 0
	// sumUnknown means that the proxy's user may not ask: slots are taken to stay.
	sumUnknown = 1<<scanSumBits - 1
)

// ParseClusterCursor reads a client's cursor. 0 begins a scan.
func ParseClusterCursor(n uint64) ClusterCursor {
	return ClusterCursor{
		Shard: int(n & (1<<scanShardBits - 1)),
		Pass:  int(n >> scanShardBits & (1<<scanPassBits - 1)),
		Sum:   uint32(n >> (scanShardBits + scanPassBits) & (1<<scanSumBits - 1)),
		Own:   n >> scanOwnShift,
	}
}

// Encode returns the number for the client. It reports false if the shard's own cursor does not
// fit.
func (c ClusterCursor) Encode() (uint64, bool) {
	n := c.Own<<scanOwnShift | uint64(c.Sum)<<(scanShardBits+scanPassBits) | uint64(c.Pass)<<scanShardBits | uint64(c.Shard)
	return n, c.Own < 1<<(64-scanOwnShift)
}

// Next returns where the scan goes on after a shard has answered with its own cursor.
func (c ClusterCursor) Next(own uint64, shards int) ClusterCursor {
	if c.Own = own; own == 0 {
		if c.Shard++; c.Shard >= shards || c.Pass == scanOne {
			c.Shard = AllScanned
		}
	}
	return c
}

// ToOne returns the beginning of a scan that goes to one shard only.
func (c ClusterCursor) ToOne(shard int) ClusterCursor {
	return ClusterCursor{Shard: shard, Pass: scanOne, Sum: c.Sum}
}

// InTransaction returns where a scan of one shard only goes on, if the primaries can't be asked
// whether slots move. It reports false if that shard was scanned.
func (c ClusterCursor) InTransaction(shard int) (at ClusterCursor, more bool) {
	at = ClusterCursor{Shard: shard, Pass: scanOne, Sum: c.Sum}
	switch {
	case c == ClusterCursor{}: // it begins
		at.Sum = sumUnknown
	case c.Shard == shard:
		at.Own = c.Own
	}
	return at, c.Shard != AllScanned
}

// ToAll returns c for a scan that goes on to the shards behind the one where it is.
func (c ClusterCursor) ToAll() ClusterCursor {
	if c.Pass == scanOne {
		c.Pass = 0
	}
	return c
}

// NextPass returns where another pass begins, which is at no shard yet, and whether it has to
// follow because slots have moved during this one. sum is SlotSum now.
func (c ClusterCursor) NextPass(sum uint32) (next ClusterCursor, follows bool) {
	moved := sum == SumMoving || c.Sum == SumMoving || sum != c.Sum && sum != sumUnknown && c.Sum != sumUnknown
	next = ClusterCursor{Pass: c.Pass + 1, Sum: sum}
	if c.Pass == scanOne {
		next.Pass = 1
	}
	return next, moved && next.Pass < scanPasses
}

// SlotSum returns a checksum of what the primaries say of themselves in their
// replies to CLUSTER NODES: which slots they serve, and since which epoch.
func SlotSum(replies [][]byte) uint32 {
	var own []string
	for _, reply := range replies {
		line, ok := ownLine(reply)
		if !ok {
			return sumUnknown
		}
		f := bytes.Fields(line)
		for _, slots := range f[8:] {
			if slots[0] == '[' {
				return SumMoving // to another, or from it
			}
		}
		own = append(own, string(f[0])+string(bytes.Join(f[6:7], nil))+string(bytes.Join(f[8:], []byte(" "))))
	}
	slices.Sort(own)
	h := crc32.NewIEEE()
	for _, line := range own {
		h.Write([]byte(line))
	}
	return 1 + h.Sum32()%(sumUnknown-1)
}

// SlotOwner returns which of the primaries that have sent replies to CLUSTER NODES serves a
// slot by its own account; -1 if none does. known is false if one of them did not say.
func SlotOwner(replies [][]byte, slot int) (primary int, known bool) {
	primary = -1
	for i, reply := range replies {
		line, ok := ownLine(reply)
		if !ok {
			return -1, false
		}
		for _, slots := range bytes.Fields(line)[8:] {
			first, last, isRange := bytes.Cut(slots, []byte("-"))
			if !isRange {
				last = first
			}
			from, err := strconv.Atoi(string(first))
			to, errTo := strconv.Atoi(string(last))
			if err == nil && errTo == nil && from <= slot && slot <= to {
				primary = i
			}
		}
	}
	return primary, true
}

// SlotStays reports whether a primary that has sent a reply to CLUSTER NODES serves a slot, which is
// not on its way to another.
func SlotStays(reply []byte, slot int) bool {
	line, ok := ownLine(reply)
	if !ok {
		return false
	}
	for _, slots := range bytes.Fields(line)[8:] {
		if slots[0] == '[' {
			return false
		}
	}
	owner, _ := SlotOwner([][]byte{reply}, slot)
	return owner == 0
}

// ownLine returns the line of a reply to CLUSTER NODES that describes the server itself.
func ownLine(reply []byte) ([]byte, bool) {
	text, _ := resp.Text(reply)
	for line := range bytes.Lines(text) {
		if f := bytes.Fields(line); len(f) >= 8 && bytes.Contains(f[2], []byte("myself")) {
			return line, true
		}
	}
	return nil, false
}
