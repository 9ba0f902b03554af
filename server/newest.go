package server

import (
	"cmp"
	"slices"

	"ringway/pipeline"
	"ringway/resp"
)

// sizeOf is the Receiver of a DBSIZE in front of RANDOMKEY, so that each key of
// all shards is drawn as often as any other.
type sizeOf struct{ share *share }

// Reply is pipeline.Receiver's.
func (z sizeOf) Reply(_ uint32, b []byte, _ bool) {
	if n, ok := resp.Int(b); ok {
		z.share.weight = n
	}
}

// Fail is pipeline.Receiver's.
func (z sizeOf) Fail(uint32, *pipeline.Failure, []byte) {}

var requestDBSize = resp.AppendRequest(nil, [][]byte{[]byte("DBSIZE")})

// slowlogCount is how many entries a SLOWLOG GET is to give; -1 for all.
func slowlogCount(args [][]byte) int {
	if len(args) < 3 {
		return 10
	}
	n, ok := resp.ParseInt(args[2])
	if !ok || n < 0 {
		return -1
	}
	return int(min(n, 1<<31))
}

// joinNewest joins arrays of entries whose second element is a time, the newest
// first: SLOWLOG GET. The numbers of entries are those of their servers.
func (b *broadcast) joinNewest() ([]byte, bool) {
	type entry struct {
		at    int64
		bytes []byte
	}
	var all []entry
	for i := range b.shares {
		r, ok := resp.ReadArray(b.shares[i].reply)
		if !ok {
			return nil, false
		}
		for r.Len() > 0 {
			element, _ := r.Next()
			fields, ok := resp.ReadArray(element)
			if !ok || fields.Len() < 2 {
				return nil, false
			}
			fields.Next()
			second, _ := fields.Next()
			at, ok := resp.Int(second)
			if !ok {
				return nil, false
			}
			all = append(all, entry{at, element})
		}
	}
	slices.SortStableFunc(all, func(x, y entry) int { return cmp.Compare(y.at, x.at) })
	if b.limit >= 0 && len(all) > b.limit {
		all = all[:b.limit]
	}
	joined := appendHeader(nil, '*', len(all))
	for _, e := range all {
		joined = append(joined, e.bytes...)
	}
	return joined, true
}
