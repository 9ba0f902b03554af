package pipeline

import "errors"

// Kinds is a set of kinds of replies, as bits: those that a request may get. Errors are always
// among them. A reply of another kind shows that the server has lost count: the connection is
// closed before the reply is delivered.
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

// ErrKind is the cause when a reply is of a kind that its request can't get.
var ErrKind = errors.New("a reply of a type that its request can't get")

// kindOf returns the kind of a reply by its first byte.
var kindOf = [256]Kinds{
	'+': KindStatus, ':': KindInteger, '$': KindString, '=': KindString, '_': KindString | KindAggregate,
	'*': KindAggregate, '%': KindAggregate, '~': KindAggregate, ',': KindOther, '#': KindOther, '(': KindOther,
	'-': AnyKind, '!': AnyKind, '|': AnyKind,
}

// kindBits are the bits of an entry's time that hold its Kinds: the lowest eight, a quarter of a
// microsecond.
const kindBits = 0xff

func (e *entry) kinds() Kinds { return Kinds(e.at & kindBits) }
