package session

import (
	"ringway/pipeline"
	"ringway/resp"
)

// sizeOf is the Receiver of the DBSIZE that goes to each shard in front of RANDOMKEY. A
// shard's key is chosen in proportion to the shard's size, so that each key of all shards is
// drawn equally often.
type sizeOf struct{ share *broadcastTarget }

// Reply is pipeline.Receiver's.
func (z sizeOf) Reply(_ uint32, b []byte, _ bool) {
	if n, ok := resp.Int(b); ok {
		z.share.weight = n
	}
}

// Fail is pipeline.Receiver's: the RANDOMKEY behind it fails as well.
func (z sizeOf) Fail(uint32, *pipeline.Failure, []byte) {}

var requestDBSize = resp.AppendRequest(nil, [][]byte{[]byte("DBSIZE")})
