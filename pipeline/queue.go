package pipeline

// entry is one request on a connection, from Send until its reply.
type entry struct {
	receiver Receiver // nil when the request has timed out: its reply is dropped
	at       int64    // when it was sent, as eventloop.Loop.Now, with its Kinds in kindBits
	tag      uint32   // the receiver's
	size     uint32   // bytes of the request, at most 4 GiB (conf bounds it)
}

// queue holds the requests of one connection, oldest first. It is a ring whose size is a power of
// two, indexed by positions that grow for ever and wrap at 2^32: compare them by int32(a-b).
type queue struct {
	ring       []entry
	head, tail uint32 // positions; tail-head are in use
}

// spareRing is the largest ring that an empty queue keeps.
const spareRing = 1024

func (q *queue) len() int { return int(q.tail - q.head) }

// at returns the entry at a position between head and tail.
func (q *queue) at(pos uint32) *entry { return &q.ring[pos&uint32(len(q.ring)-1)] }

func (q *queue) push(e entry) {
	if int(q.tail-q.head) == len(q.ring) {
		q.grow()
	}
	q.ring[q.tail&uint32(len(q.ring)-1)] = e
	q.tail++
}

// pop removes the oldest entry and returns it.
func (q *queue) pop() entry {
	e := &q.ring[q.head&uint32(len(q.ring)-1)]
	popped := *e
	e.receiver = nil
	q.head++
	return popped
}

func (q *queue) grow() {
	bigger := make([]entry, max(16, 2*len(q.ring)))
	for pos := q.head; pos != q.tail; pos++ {
		bigger[pos&uint32(len(bigger)-1)] = *q.at(pos)
	}
	q.ring = bigger
}

// shrink frees the ring of an empty queue that was long.
func (q *queue) shrink() {
	if q.head == q.tail && len(q.ring) > spareRing {
		q.ring = nil
	}
}
