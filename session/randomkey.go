package session

import (
	"ringway/pipeline"
	"ringway/resp"
)

// sizeOf is the Receiver of a DBSIZE in front of RANDOMKEY, so that each key of
// all shards is drawn as often as any other.
type sizeOf struct{ share *broadcastTarget }

// Reply is pipeline.Receiver's.
func (z sizeOf) Reply(_ uint32, b []byte, _ bool) {
	if n, ok := resp.Int(b); ok {
		z.share.weight = n
	}
}

// Fail is pipeline.Receiver's.
func (z sizeOf) Fail(uint32, *pipeline.Failure, []byte) {}

var requestDBSize = resp.AppendRequest(nil, [][]byte{[]byte("DBSIZE")})
