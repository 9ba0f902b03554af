package bench

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

const (
	// readChunk is the size of one read, in bytes. All clients of a generator share the
	// buffer: replies are checked as they arrive.
	readChunk = 256 << 10
	// writeChunk is how many bytes are encoded ahead of a write.
	writeChunk = 64 << 10
	// openDepth is how many requests of an open loop may await replies on one
	// connection. Beyond it requests are sent late, and their latency shows it.
	openDepth = 256
	// drainGrace is how long replies may take after the last request.
	drainGrace = 3 * time.Second
	// openTick is the shortest sleep of an open loop. Requests that fall due
	// within it leave together, up to this much late, to every target alike.
	openTick = 50 * time.Microsecond
	// idleWait bounds a wait, so that a generator notices that it was stopped.
	idleWait = 20 * time.Millisecond
)

// newHistogram counts microseconds from 1 to a minute with three digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

// window is the measured part of a run, on the generator's clock. Requests are sent
// before it, to warm up, and replies are awaited after it.
type window struct{ start, from, to int64 }

// client is one connection of a generator.
type client struct {
	fd    int
	tls   *tlsClient // nil: in clear
	alive bool
	check *checker

	unsent int    // requests of the current batch that are not encoded yet
	at     int64  // when the current batch was begun
	out    []byte // encoded bytes that the socket had no room for
}

// generator drives some clients from one goroutine on a thread of its own: no
// goroutine per client, no allocation per request, no lock. Fields other than
// answered and stop belong to that goroutine until run returns.
type generator struct {
	w       Workload
	win     window
	poll    *poller
	clients []client
	enc     *encoder
	tally   tally
	hist    *hdrhistogram.Histogram
	done    func(*call)

	keys  []uint32
	sets  []bool
	drawn int // position in keys and sets

	in, out []byte // shared by all clients
	plain   []byte // what was decrypted, likewise
	ready   []int
	dirty   []*client // clients with something to send, served at the turn's end
	clock   int64     // when the current turn began
	left    int       // requests in flight over all clients
	alive   int       // clients still connected

	perNano float64 // open loop: requests due per nanosecond; 0 for a closed loop
	issued  uint64  // open loop: requests sent so far
	next    int     // open loop: the client whose turn it is

	cpuFrom, cpuTo time.Duration // processor time of the thread at the window's edges

	answered atomic.Uint64 // read by the run that this generator is part of
	stop     atomic.Bool
}

// newGenerator connects clients clients to t. share is the part of the
// workload's rate that falls to it.
func newGenerator(w Workload, t *Target, clients int, share float64, seed uint64) (*generator, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	g := &generator{
		w: w, poll: p, enc: newEncoder(w), hist: newHistogram(),
		keys: w.drawKeys(seed), sets: w.drawSets(seed),
		in: make([]byte, readChunk), out: make([]byte, 0, writeChunk+w.Fanout*(w.Value+64)),
		clients: make([]client, clients), ready: make([]int, 0, clients),
		dirty: make([]*client, 0, clients), perNano: w.Rate * share / 1e9,
	}
	g.done = g.answer
	if t.TLS {
		g.plain = make([]byte, readChunk)
	}
	depth := w.Pipeline
	if g.perNano > 0 {
		depth = openDepth
	}
	for i := range g.clients {
		var over *tlsClient
		fd := -1
		if t.TLS {
			fd, over, err = dialTLS(t.Addr)
		} else {
			fd, err = dialSocket(t.Addr)
		}
		if err != nil {
			g.close()
			return nil, fmt.Errorf("client %d of %d: %w", i+1, clients, err)
		}
		g.clients[i] = client{fd: fd, tls: over, alive: true, check: newChecker(w, depth, &g.tally)}
		g.alive++
		if err := p.add(fd, i); err != nil {
			g.close()
			return nil, err
		}
	}
	return g, nil
}

// close closes what newGenerator opened. It may be called more than once, not
// while run is running.
func (g *generator) close() {
	for i := range g.clients {
		if g.clients[i].alive {
			unix.Close(g.clients[i].fd)
			g.clients[i].alive = false
		}
	}
	if g.poll != nil {
		g.poll.close()
		g.poll = nil
	}
}

// run sends requests from win.start to win.to and returns when all of them are
// answered, the grace is over, or stop is set.
func (g *generator) run(win window) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sharpenTimers()
	g.win = win
	g.clock = now()
	if g.perNano == 0 {
		for i := range g.clients {
			g.begin(&g.clients[i])
		}
		g.flush()
	}
	edges := 0
	for !g.stop.Load() && g.alive > 0 {
		ended := g.clock >= win.to
		if ended && (g.left == 0 || g.clock > win.to+int64(drainGrace)) {
			break
		}
		if g.perNano > 0 && !ended {
			g.issueDue()
			g.flush()
		}
		if err := g.turn(g.waitFor(ended)); err != nil {
			return err
		}
		if edges == 0 && g.clock >= win.from {
			g.cpuFrom, edges = threadCPU(), 1
		}
		if edges == 1 && g.clock >= win.to {
			g.cpuTo, edges = threadCPU(), 2
		}
	}
	g.abandon()
	return nil
}

// waitFor returns how long the next turn may wait for something to happen.
func (g *generator) waitFor(ended bool) time.Duration {
	if ended {
		return idleWait
	}
	d := min(idleWait, time.Duration(g.win.to-g.clock)+time.Millisecond)
	if g.perNano > 0 {
		due := g.win.start + int64(float64(g.issued+1)/g.perNano)
		d = min(d, max(openTick, time.Duration(due-now())))
	}
	return d
}

// turn waits for sockets, reads all replies that have come, and then sends the next
// batches. It reads first so that the target gets the batches of all clients together, as
// from many real clients.
func (g *generator) turn(d time.Duration) error {
	ready, err := g.poll.wait(g.ready[:0], d)
	if err != nil {
		return err
	}
	g.clock = now()
	for _, i := range ready {
		c := &g.clients[i]
		if !c.alive {
			continue
		}
		g.receive(c)
		if c.alive && (len(c.out) > 0 || c.unsent > 0 || c.sealed()) {
			g.dirty = append(g.dirty, c)
		}
	}
	g.flush()
	g.answered.Store(g.tally.replies)
	return nil
}

// receive reads and checks all that c's socket holds, and begins the client's
// next batch when the last one is answered.
func (g *generator) receive(c *client) {
	for {
		n, err := readSocket(c.fd, g.in)
		if err == unix.EAGAIN || err == unix.EINTR {
			break
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		switch {
		case err != nil:
		case c.tls != nil:
			err = c.tls.feed(g.in[:n], g.plain, c.check, g.done)
		default:
			err = c.check.feed(g.in[:n], g.done)
		}
		if err != nil {
			g.drop(c, err)
			return
		}
		if n < len(g.in) {
			break
		}
	}
	if g.perNano == 0 && c.check.count == 0 && c.unsent == 0 && g.clock < g.win.to {
		g.begin(c)
	}
}

// answer records the latency of a call that was answered.
func (g *generator) answer(c *call) {
	g.left--
	g.record(c.at, now)
}

// record counts the latency of a request that was sent, or due, at at. A closed loop
// counts requests answered within the window. An open loop counts requests due in it,
// however late the answer is: without the late ones the target would look better.
func (g *generator) record(at int64, clock func() int64) {
	if g.perNano > 0 {
		if at >= g.win.from && at < g.win.to {
			g.observe(clock() - at)
		}
		return
	}
	if g.clock >= g.win.from && g.clock < g.win.to {
		g.observe(g.clock - at)
	}
}

func (g *generator) observe(d int64) {
	// Out of range is over a minute, longer than any run waits.
	_ = g.hist.RecordValue(max(1, d/1000))
}

// begin starts a client's next batch.
func (g *generator) begin(c *client) {
	c.unsent = g.w.Pipeline
	g.dirty = append(g.dirty, c)
}

// flush sends the requests of the clients in dirty.
func (g *generator) flush() {
	if len(g.dirty) == 0 {
		return
	}
	at := now()
	for _, c := range g.dirty {
		if c.alive {
			g.send(c, at)
		}
	}
	g.dirty = g.dirty[:0]
}

// send encodes and writes c's batch until it is out or the socket is full.
func (g *generator) send(c *client, at int64) {
	if c.unsent == g.w.Pipeline && g.perNano == 0 {
		c.at = at
	}
	if c.sealed() {
		if _, err := g.write(c, nil); err != nil || c.sealed() {
			return
		}
	}
	if len(c.out) > 0 {
		n, err := g.write(c, c.out)
		if err != nil {
			return
		}
		c.out = append(c.out[:0], c.out[n:]...)
		if len(c.out) > 0 {
			return
		}
	}
	for c.unsent > 0 {
		g.out = g.out[:0]
		for c.unsent > 0 && len(g.out) < writeChunk {
			g.out = g.encode(g.out, c, c.at)
			c.unsent--
		}
		n, err := g.write(c, g.out)
		if err != nil {
			return
		}
		if n < len(g.out) {
			c.out = append(c.out[:0], g.out[n:]...)
			return
		}
		if c.sealed() {
			return
		}
	}
}

// sealed reports whether encrypted bytes wait that the socket had no room for.
func (c *client) sealed() bool { return c.tls != nil && len(c.tls.out) > 0 }

// write writes to c's socket and returns how many bytes the socket, or TLS, took. It drops a
// broken connection, and reports that.
func (g *generator) write(c *client, b []byte) (int, error) {
	if c.tls != nil {
		err := c.tls.write(c.fd, b)
		if err == unix.EAGAIN || err == unix.EINTR {
			err = nil
		}
		if err != nil {
			g.drop(c, err)
		}
		return len(b), err
	}
	n, err := writeSocket(c.fd, b)
	if err == unix.EAGAIN || err == unix.EINTR {
		return 0, nil
	}
	if err != nil {
		g.drop(c, err)
	}
	return n, err
}

// encode appends one request and queues its call, sent or due at at.
func (g *generator) encode(b []byte, c *client, at int64) []byte {
	kind := g.w.Op
	switch {
	case kind == OpMix && g.sets[g.drawn]:
		kind = OpSet
	case kind == OpMix:
		kind = OpGet
	}
	q := c.check.push()
	q.at, q.kind = at, kind
	for i := range q.keys {
		q.keys[i] = g.keys[g.drawn]
		g.drawn++
		if g.drawn == len(g.keys) {
			g.drawn = 0
		}
	}
	g.left++
	return g.enc.appendRequest(b, kind, q.keys)
}

// issueDue sends every request of an open loop that is due. If all clients are full the
// request waits; its latency counts from the time it was due.
func (g *generator) issueDue() {
	due := uint64(float64(min(now(), g.win.to)-g.win.start) * g.perNano)
	full := 0
	for g.issued < due && full < len(g.clients) {
		c := &g.clients[g.next]
		g.next++
		if g.next == len(g.clients) {
			g.next = 0
		}
		if !c.alive || c.check.full() {
			full++
			continue
		}
		full = 0
		if len(c.out) == 0 {
			g.dirty = append(g.dirty, c)
		}
		c.out = g.encode(c.out, c, g.dueAt(g.issued))
		g.issued++
	}
}

// dueAt returns when request i of an open loop is due.
func (g *generator) dueAt(i uint64) int64 {
	return g.win.start + int64(float64(i)/g.perNano)
}

// drop closes a connection. Its unanswered requests count as errors.
func (g *generator) drop(c *client, err error) {
	c.alive = false
	g.alive--
	unix.Close(c.fd)
	if !errors.Is(err, errDesync) {
		g.tally.note("connection lost: %v", err)
	}
	g.tally.errors += uint64(max(1, c.check.count))
	g.left -= c.check.count
}

// abandon counts requests that were never answered or never sent.
func (g *generator) abandon() {
	for i := range g.clients {
		c := &g.clients[i]
		if !c.alive {
			continue
		}
		for c.check.count > 0 {
			g.record(c.check.pop().at, now)
			g.tally.noteError("no reply within %v of the run's end", drainGrace)
		}
	}
	if g.perNano > 0 && !g.stop.Load() {
		total := uint64(float64(g.win.to-g.win.start) * g.perNano)
		for ; g.issued < total; g.issued++ {
			g.record(g.dueAt(g.issued), now)
		}
	}
	g.answered.Store(g.tally.replies)
}
