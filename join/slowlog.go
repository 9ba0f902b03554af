package join

import (
	"cmp"
	"slices"

	"ringway/resp"
)

// SlowlogCount returns how many entries a SLOWLOG GET asks for; -1 for all. args are
// all its arguments.
func SlowlogCount(args [][]byte) int {
	if len(args) < 3 {
		return 10
	}
	n, ok := resp.ParseInt(args[2])
	if !ok || n < 0 {
		return -1
	}
	return int(min(n, 1<<31))
}

// NewestFirst appends an array of the entries of several arrays, such as the replies to SLOWLOG
// GET, sorted by time, the newest first. An entry is an array whose second element is its time. If
// limit is not negative, at most so many entries are appended. The entries' ids stay those of their
// servers.
func NewestFirst(dst []byte, replies [][]byte, limit int) ([]byte, bool) {
	type entry struct {
		at    int64
		frame []byte
	}
	var all []entry
	for _, reply := range replies {
		r, ok := resp.ReadArray(reply)
		if !ok {
			return dst, false
		}
		for r.Len() > 0 {
			frame, _ := r.Next()
			fields, ok := resp.ReadArray(frame)
			if !ok || fields.Len() < 2 {
				return dst, false
			}
			fields.Next()
			second, _ := fields.Next()
			at, ok := resp.Int(second)
			if !ok {
				return dst, false
			}
			all = append(all, entry{at, frame})
		}
	}
	slices.SortStableFunc(all, func(x, y entry) int { return cmp.Compare(y.at, x.at) })
	if limit >= 0 && len(all) > limit {
		all = all[:limit]
	}
	dst = resp.AppendArray(dst, len(all))
	for _, e := range all {
		dst = append(dst, e.frame...)
	}
	return dst, true
}
