package join

import (
	"maps"
	"slices"

	"ringway/resp"
)

// commandHistogram is what LATENCY HISTOGRAM says of one command.
type commandHistogram struct {
	calls  int64
	counts map[int64]int64 // by the upper bound of a bucket, in microseconds; not cumulative
}

// Histograms appends the replies to LATENCY HISTOGRAM of several servers as one: of each command the
// calls and the buckets of all. A server leaves out the buckets to which it has nothing to add, and so
// does the reply. It has the types of the first reply: maps in RESP3, else arrays.
func Histograms(dst []byte, replies [][]byte) ([]byte, bool) {
	var names []string
	all := map[string]*commandHistogram{}
	for _, reply := range replies {
		commands, ok := resp.ReadMap(reply)
		if !ok || commands.Len()%2 != 0 {
			return dst, false
		}
		for commands.Len() > 0 {
			key, _ := commands.Next()
			value, _ := commands.Next()
			name, ok := resp.Bulk(key)
			if !ok {
				return dst, false
			}
			h := all[string(name)]
			if h == nil {
				h = &commandHistogram{counts: map[int64]int64{}}
				names, all[string(name)] = append(names, string(name)), h
			}
			if !h.add(value) {
				return dst, false
			}
		}
	}
	protocol := resp.RESP2
	if replies[0][0] == '%' {
		protocol = resp.RESP3
	}
	dst = protocol.AppendMap(dst, len(names))
	for _, name := range names {
		dst = all[name].append(resp.AppendBulkString(dst, name), protocol)
	}
	return dst, true
}

// add adds what one server says of the command. It reports false for a reply of another form.
func (h *commandHistogram) add(reply []byte) bool {
	fields, ok := resp.ReadMap(reply)
	if !ok || fields.Len()%2 != 0 {
		return false
	}
	for fields.Len() > 0 {
		key, _ := fields.Next()
		value, _ := fields.Next()
		switch name, _ := resp.Bulk(key); string(name) {
		case "calls":
			n, ok := resp.Int(value)
			if !ok {
				return false
			}
			h.calls += n
		case "histogram_usec":
			if !h.addBuckets(value) {
				return false
			}
		}
	}
	return true
}

// addBuckets adds buckets whose counts are cumulative.
func (h *commandHistogram) addBuckets(reply []byte) bool {
	buckets, ok := resp.ReadMap(reply)
	if !ok || buckets.Len()%2 != 0 {
		return false
	}
	for before := int64(0); buckets.Len() > 0; {
		key, _ := buckets.Next()
		value, _ := buckets.Next()
		bound, ok := resp.Int(key)
		n, isCount := resp.Int(value)
		if !ok || !isCount {
			return false
		}
		h.counts[bound] += n - before
		before = n
	}
	return true
}

// append appends the command's histogram in the form that servers give it.
func (h *commandHistogram) append(dst []byte, protocol resp.Protocol) []byte {
	dst = protocol.AppendMap(dst, 2)
	dst = resp.AppendInt(resp.AppendBulkString(dst, "calls"), h.calls)
	dst = protocol.AppendMap(resp.AppendBulkString(dst, "histogram_usec"), len(h.counts))
	total := int64(0)
	for _, bound := range slices.Sorted(maps.Keys(h.counts)) {
		total += h.counts[bound]
		dst = resp.AppendInt(resp.AppendInt(dst, bound), total)
	}
	return dst
}
