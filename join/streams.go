package join

import (
	"bytes"
	"slices"

	"ringway/resp"
)

// StreamRead is an XREAD or XREADGROUP that is made of one request for each of its keys.
type StreamRead struct {
	head [][]byte // the request up to STREAMS
	ids  [][]byte // for each key
}

// NewStreamRead returns the request args, whose keys are at the positions keys. It copies what it
// keeps.
func NewStreamRead(args [][]byte, keys []int) *StreamRead {
	r := &StreamRead{}
	for _, arg := range args[:keys[0]] {
		r.head = append(r.head, slices.Clone(arg))
	}
	for _, k := range keys {
		r.ids = append(r.ids, slices.Clone(args[k+len(keys)]))
	}
	return r
}

// KeyByKey reports that each key is fetched by a request of its own.
func (r *StreamRead) KeyByKey() bool { return true }

// AppendFetch appends the request that reads key number i, the only one of keys.
func (r *StreamRead) AppendFetch(dst []byte, keys [][]byte, i int) []byte {
	dst = resp.AppendArray(dst, len(r.head)+2)
	for _, arg := range r.head {
		dst = resp.AppendBulk(dst, arg)
	}
	return resp.AppendBulk(resp.AppendBulk(dst, keys[0]), r.ids[i])
}

// AppendReply appends the reply that has what is in the replies for the keys, in their order. It
// reports false if one of these is no reply to such a request.
func (r *StreamRead) AppendReply(dst []byte, parts [][]byte, protocol resp.Protocol) ([]byte, bool) {
	return AppendStreams(dst, parts, protocol)
}

// AppendStreams appends the reply of XREAD or XREADGROUP that has what is in the replies for single
// keys, in their order: null if they are all null. It reports false if one of them is no such reply
// in the given protocol.
func AppendStreams(dst []byte, replies [][]byte, protocol resp.Protocol) ([]byte, bool) {
	one := "*1\r\n"
	if protocol == resp.RESP3 {
		one = "%1\r\n"
	}
	var streams [][]byte // without the header of the reply
	for _, reply := range replies {
		stream, ok := bytes.CutPrefix(reply, []byte(one))
		switch {
		case ok:
			streams = append(streams, stream)
		case !resp.IsNull(reply):
			return dst, false
		}
	}
	switch {
	case len(streams) == 0:
		return protocol.AppendNullArray(dst), true
	case protocol == resp.RESP3:
		dst = protocol.AppendMap(dst, len(streams))
	default:
		dst = resp.AppendArray(dst, len(streams))
	}
	for _, s := range streams {
		dst = append(dst, s...)
	}
	return dst, true
}
