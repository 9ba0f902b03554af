package pipeline

import "errors"

// Kinds are kinds of replies: those that a request may get, as bits. Errors are
// always among them. A reply of another kind shows that the server has lost count:
// the connection ends before the reply is given to anybody.
type Kinds uint8

// The kinds, in either protocol.
const (
	KindStatus    Kinds = 1 << iota // +
	KindInteger                     // :
	KindString                      // $, =, or null
	KindAggregate                   // *, % or ~
	KindOther                       // numbers of RESP3 that are no integers, and booleans

	AnyKind Kinds = 0xff
)

// ErrKind tells that a reply was of a kind that its request does not get.
var ErrKind = errors.New("a reply of another type than its request has")

// kindOf is the kind of a reply by its first byte.
var kindOf = [256]Kinds{
	'+': KindStatus, ':': KindInteger, '$': KindString, '=': KindString, '_': KindString | KindAggregate,
	'*': KindAggregate, '%': KindAggregate, '~': KindAggregate, ',': KindOther, '#': KindOther, '(': KindOther,
	'-': AnyKind, '!': AnyKind, '|': AnyKind,
}

// kindBits are the bits of an entry's time that hold its Kinds: a quarter of a
// microsecond.
const kindBits = 0xff

func (e *entry) kinds() Kinds { return Kinds(e.at & kindBits) }
