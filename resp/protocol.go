package resp

// Protocol is a version of RESP.
type Protocol uint8

// The protocols that Redis speaks. A connection starts with RESP2.
const (
	RESP2 Protocol = iota
	RESP3
	Protocols // how many there are
)

// Version is the protocol's number in HELLO: 2 or 3.
func (p Protocol) Version() int { return int(p) + 2 }
