package eventloop

import (
	"container/heap"
	"context"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ringway/stats"
)

const (
	// readBufferSize is the most that one read takes. The more one read takes of a large reply, the
	// fewer parts it comes in, for this process and for the clients: GET of 16 KiB costs a fifth
	// less than with 128 KiB (docs/adr/0018). More would not stay in a core's L2 cache.
	readBufferSize = 512 << 10
	// requestsSize is the most that one read takes from a client. It may be thousands of requests,
	// and all others wait until they are handled.
	requestsSize = 128 << 10
)

// maxEvents is the most events that one wait returns.
const maxEvents = 256

// Loop is one event loop. Make it with New, start it with Run.
type Loop struct {
	// Static once the loop runs; the functions may be called on the loop only.
	onPanic    func(Panic)                                    // nil: a panic ends the process; see OnPanic
	onLongTurn func(time.Duration)                            // nil: long turns are not reported
	dialer     func(t Target, done func(s Socket, err error)) // of a loop that is turned by hand; see ByHand
	running    context.Context                                // until Stop: attempts to connect end with it
	cancel     context.CancelFunc                             // of running

	// Owned by the loop's goroutine: the turn, and its time.
	poll       poller
	now        int64 // at the start of the turn, by a clock that leaves out pauses
	skipped    int64 // how much that clock has left out so far
	lateTurn   bool  // the turn began much too late
	began      int64 // when the turn began, by a clock that leaves nothing out; 0 before the first
	progress   progress
	deferred   []Deferred
	timers     timerHeap
	polls      uint64 // how many turns there were
	afterPolls []afterPoll
	busyFrom   int64 // start of the window that Busy reports on
	busyIdle   int64 // nanoseconds of that window spent asleep
	usage      usage // at the start of that window
	counts     stats.Loop

	// Owned by the loop's goroutine: connections and their bytes.
	conns        []*Conn // by descriptor
	openConns    int     // how many of conns are not nil
	urgentConns  int     // how many of them are urgent
	readBuf      []byte  // shared by all connections: an idle one holds no buffer
	plain        []byte  // the same for what is decrypted; nil before the first connection with a Cipher
	dirty        []*Conn // have output to write at the end of the turn
	dirtyServers []*Conn // the same for servers, which are written to after the others
	fullOutputs  []*Conn // those of dirtyServers, which they stay in, that are written to before the next event
	delayed      []*Conn // have output that waits for more until the end of the next turn
	bufs         buffers
	inHandler    *Conn           // whose handler is being given bytes of its own buffer; nil if none is
	vectors      []syscall.Iovec // scratch of writeBlocks
	io           ioBatch

	// Used by any goroutine.
	busy    atomic.Uint32  // per mille of the last window that was not sleep
	stopped atomic.Bool    // Stop was called
	asleep  atomic.Bool    // the loop waits for events; see Quiet
	hasMail atomic.Bool    // the mailbox is not empty
	dialing sync.WaitGroup // goroutines that may still post, or that carry bytes of connections

	mu      sync.Mutex // guards the fields below, and that the poller is woken only before ended; not held during calls
	mailbox []func()   // posted functions for the next turn
	ended   bool       // Run has ended, or is about to
}

// Deferred is work for the end of a turn, before output is written.
type Deferred interface {
	// RunDeferred is called once for each Defer, on the loop.
	RunDeferred()
}

// New returns a loop that has not started. The caller must call Run, which also releases the loop's
// descriptors.
func New() (*Loop, error) {
	l := &Loop{readBuf: make([]byte, readBufferSize), vectors: make([]syscall.Iovec, 0, maxBlocks)}
	if err := l.poll.open(); err != nil {
		return nil, err
	}
	l.running, l.cancel = context.WithCancel(context.Background())
	l.now = nanotime()
	l.busyFrom = l.now
	l.trimBuffers()
	return l, nil
}

// Run makes turns until Stop and then closes every connection, without calling its handler. It
// belongs on a goroutine of its own and returns when all goroutines that the loop started have
// ended.
func (l *Loop) Run() {
	debug.SetPanicOnFault(true) // an access to unmapped memory costs one connection, not the process
	l.busyFrom = nanotime()
	l.usage.note()
	for !l.stopped.Load() {
		l.turn()
	}
	for _, c := range l.conns {
		if c != nil {
			c.Close()
		}
	}
	l.dialing.Wait()
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.runMailbox() // closes descriptors that dialers posted too late
	for _, c := range l.conns {
		if c != nil {
			c.Close()
		}
	}
	l.io.close()
	l.poll.close()
}

// Stop makes Run return after the current turn, and ends attempts to connect. Any goroutine may
// call it.
func (l *Loop) Stop() {
	l.stopped.Store(true)
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.poll.wake()
	}
}

// Post runs fn on the loop in its next turn. Any goroutine may call it. If the loop has ended, fn
// is not called.
func (l *Loop) Post(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return // the number of the poller's descriptor may be used again by now
	}
	l.mailbox = append(l.mailbox, fn)
	if !l.hasMail.Swap(true) {
		l.poll.wake()
	}
}

// Defer runs d at the end of this turn, before output is written.
func (l *Loop) Defer(d Deferred) { l.deferred = append(l.deferred, d) }

// Now returns the monotonic time at which the turn began, in nanoseconds since an arbitrary start.
// It costs nothing and is the same throughout a turn. Time in which the process did not run does
// not count (see clock.go), so times of two loops can't be compared.
func (l *Loop) Now() int64 { return l.now }

// Counts returns what the loop has counted of its turns. It belongs to the loop.
func (l *Loop) Counts() *stats.Loop { return &l.counts }

// Conns returns the number of open connections.
func (l *Loop) Conns() int { return l.openConns }

// Busy returns the share of the last 100 ms, 0 to 1, in which the loop was not asleep. Any
// goroutine may call it.
func (l *Loop) Busy() float64 { return float64(l.busy.Load()) / 1000 }

func (l *Loop) turn() {
	l.progress.events = l.wait()
	l.bufs.putDeferred()
	if l.lateTurn {
		l.progress.pollsLeft = 1 + l.openConns/maxEvents
	}
	for !l.work() {
	}
}

// work does what is left of a turn. It returns false if a callback panicked; the next call goes on
// behind that callback. See OnPanic.
func (l *Loop) work() (done bool) {
	defer l.recovered()
	l.handle()
	l.catchUp()
	if len(l.afterPolls) > 0 {
		l.runAfterPolls()
	}
	if l.hasMail.Load() || len(l.progress.posted) > 0 {
		l.runMailbox()
	}
	if len(l.timers) > 0 && l.timers[0].at <= l.now {
		l.runTimers()
	}
	l.finish()
	if l.bufs.reportLent() {
		l.finish()
	}
	return true
}

// finishTime is how long a turn may have lasted for its end to also do the work that the end itself
// has brought about.
const finishTime = int64(time.Millisecond)

// finish runs what is deferred and writes what is to be written. Both may bring about more, such as
// the next requests of a client whose replies have left. finish goes on with that until the turn
// has lasted finishTime; the rest waits for the next turn.
func (l *Loop) finish() {
	for again := true; again; again = l.unfinished() && nanotime()-l.began < finishTime {
		// Deferred work may wait for output to leave, so delayed output is not delayed again.
		l.dirty = append(l.dirty, l.delayed...)
		clear(l.delayed)
		l.delayed = l.delayed[:0]
		l.runDeferred()
		l.flushAll()
	}
}

// unfinished reports whether work is deferred or output is to be written.
func (l *Loop) unfinished() bool { return len(l.deferred)+len(l.dirty)+len(l.dirtyServers) > 0 }

// longestDelay bounds how long output waits for more if nothing happens.
const longestDelay = time.Millisecond

// wait sleeps until there are events or a timer is due.
func (l *Loop) wait() []event {
	before := nanotime()
	l.reportLongTurn(before)
	if l.began != 0 {
		l.counts.Turns.AddNanoseconds(before - l.began)
	}
	timeout := l.untilNextTimer(before - l.skipped)
	if l.unfinished() || len(l.afterPolls) > 0 {
		timeout = 0
	}
	if len(l.delayed) > 0 {
		timeout = min(timeout, longestDelay)
	}
	l.polls++
	l.asleep.Store(timeout > 0)
	evs := l.poll.wait(timeout)
	l.asleep.Store(false)
	after := nanotime()
	l.countBusy(after, after-before)
	l.setClock(after)
	l.began = after
	l.urgentFirst(evs)
	return evs
}

// urgentFirst moves the events of urgent connections to the front and keeps the order of the
// others.
func (l *Loop) urgentFirst(evs []event) {
	if l.urgentConns == 0 {
		return
	}
	first := 0
	for i := range evs {
		if c := l.connAt(evs[i].fd()); c != nil && c.urgent {
			ev := evs[i]
			copy(evs[first+1:i+1], evs[first:i])
			evs[first] = ev
			first++
		}
	}
}

// busyWindow is the time over which Busy averages.
const busyWindow = int64(100 * time.Millisecond)

func (l *Loop) countBusy(now, asleep int64) {
	l.busyIdle += asleep
	l.counts.Idle += asleep
	if window := now - l.busyFrom; window >= busyWindow {
		l.busy.Store(uint32(1000 - 1000*l.busyIdle/window))
		l.busyFrom, l.busyIdle = now, 0
		l.usage.note()
	}
}

func (l *Loop) untilNextTimer(now int64) time.Duration {
	if len(l.timers) == 0 || l.hasMail.Load() {
		if l.hasMail.Load() {
			return 0
		}
		return time.Duration(math.MaxInt64)
	}
	return max(0, time.Duration(l.timers[0].at-now))
}

func (l *Loop) runMailbox() {
	t := &l.progress
	if len(t.posted) == 0 {
		l.hasMail.Store(false)
		l.mu.Lock()
		t.posted = l.mailbox
		l.mailbox = nil
		l.mu.Unlock()
	}
	for len(t.posted) > 0 {
		fn := t.posted[0]
		t.posted[0] = nil
		t.posted = t.posted[1:]
		fn()
	}
	t.posted = nil
}

func (l *Loop) runTimers() {
	for len(l.timers) > 0 && l.timers[0].at <= l.now {
		t := heap.Pop(&l.timers).(*Timer)
		l.progress.timer = t
		t.fn()
	}
	l.progress.timer = nil
}

// runDeferred runs what is deferred now. What that defers runs in the next pass, after output was
// written, so that one connection can't starve the rest.
func (l *Loop) runDeferred() {
	t := &l.progress
	if t.due == 0 {
		t.due = len(l.deferred)
	}
	t.deferring = true
	for t.ran < t.due {
		t.ran++
		l.deferred[t.ran-1].RunDeferred()
	}
	t.deferring = false
	rest := copy(l.deferred, l.deferred[t.due:])
	clear(l.deferred[rest:])
	l.deferred = l.deferred[:rest]
	t.ran, t.due = 0, 0
}

// flush writes the output of conns and empties the list. A write may end a connection, and thereby
// add to the list. A nil entry was written by a flush that a panic cut short.
func flush(conns *[]*Conn) {
	for i := 0; i < len(*conns); i++ {
		c := (*conns)[i]
		(*conns)[i] = nil
		if c != nil && c.toBeWritten() {
			c.writeOut()
		}
	}
	*conns = (*conns)[:0]
}

// flushFull writes the outputs that are too full to wait for the end of the turn.
func (l *Loop) flushFull() {
	if len(l.fullOutputs) > 0 {
		l.progress.conn = nil
		flush(&l.fullOutputs)
	}
}

func (l *Loop) connAt(fd int) *Conn {
	if fd < len(l.conns) {
		return l.conns[fd]
	}
	return nil
}
