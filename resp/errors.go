package resp

import "errors"

// ProtocolError says how a peer broke the protocol. The connection can't be framed any more and is
// to be closed; a client is first told why with AppendError(out, "ERR "+err.Error()).
type ProtocolError struct {
	// Text is what happened, without a prefix; for requests in the words of
	// Redis, such as "invalid bulk length".
	Text string
}

// Error returns the text that Redis sends after "-ERR ".
func (e *ProtocolError) Error() string { return "Protocol error: " + e.Text }

// ErrHTTP is returned for a request that is a line of HTTP, which is how a web
// page attacks a Redis it cannot reach otherwise. The connection is to be
// closed without an answer and without executing anything that follows.
var ErrHTTP = errors.New("HTTP request on a Redis port")

// ErrPROXY is returned for the first line of the PROXY protocol (HAProxy's send-proxy), version 1
// or 2. The connection is to be closed without an answer: the client behind the sender of that line
// would take it for the reply to its first request.
var ErrPROXY = errors.New("PROXY protocol on a Redis port")

// ErrTLS is the *ProtocolError for a client that opens a TLS handshake where
// plain text is spoken.
var ErrTLS error = &ProtocolError{"TLS handshake on a plain-text port"}

// What a client can do wrong, in Redis's words (networking.c) where Redis has
// any. They are made once, because hostile input should not cost allocations.
var (
	errBigInline    = &ProtocolError{"too big inline request"}
	errBigCountLine = &ProtocolError{"too big mbulk count string"}
	errBigBulkLine  = &ProtocolError{"too big bulk count string"}
	errBigRequest   = &ProtocolError{"too big request"}
	errCount        = &ProtocolError{"invalid multibulk length"}
	errBulk         = &ProtocolError{"invalid bulk length"}
	errBulkEnd      = &ProtocolError{"expected CRLF after bulk"}
	errQuotes       = &ProtocolError{"unbalanced quotes in request"}
	errInlineNUL    = &ProtocolError{"invalid inline request"}
	errUnauthCount  = &ProtocolError{"unauthenticated multibulk length"}
	errUnauthBulk   = &ProtocolError{"unauthenticated bulk length"}
)

// errNoDollar is the error for a request's argument that begins with got.
func errNoDollar(got byte) error {
	return &ProtocolError{"expected '$', got '" + string([]byte{got}) + "'"}
}
