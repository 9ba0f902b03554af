// Package resp frames RESP2 and RESP3: it says where a request or a reply ends and where the
// arguments of a request lie, and copies nothing.
//
//	var parser resp.RequestParser
//	var state resp.RequestState
//	b := []byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n")
//	n, err := parser.Parse(b, &state, &resp.DefaultLimits) // 20, nil; parser.Args are GET and k
//	n, err = parser.Parse(b[n:], &state, &resp.DefaultLimits) // 0, nil: incomplete
//
// It is the first code that bytes from a client or a server meet. It is therefore strict where
// Redis is lax: a line ends with CR LF and nothing else, a bulk is followed by CR LF and nothing
// else, a number has one spelling. A proxy that reads a byte stream differently from the server
// behind it can be made to mistake one request for another. As a consequence, a request that came
// as an array is the very byte sequence that AppendRequest makes of its arguments, and may be
// forwarded as it is.
//
// Requests. A RequestParser is scratch that all clients of one event loop share; a RequestState is
// what one client needs between two reads. Parse is given the bytes from the request's first byte
// on, finds the request whole or asks for more, and does not look again at what it has already
// checked.
//
// Replies. A ReplyState follows the replies of one server connection. Scan is given the bytes that
// came since, and says how many of them belong to the current reply, so that a large reply can be
// passed on while it arrives.
//
// Both reserve no memory for what has been announced and not yet sent, and both stop at limits.
// Bytes that are not RESP give a *ProtocolError, after which the connection can't be used any more.
//
// The specification is https://redis.io/docs/latest/develop/reference/protocol-spec/ and, for
// RESP3, https://github.com/antirez/RESP3/blob/master/spec.md. Where they leave something open,
// this package accepts what Redis's networking.c does, or less.
//
// Types are not safe for concurrent use by several goroutines, unless they say so; functions are,
// while no goroutine writes to their arguments.
package resp
