package hatest

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// Load describes what clients do. The zero value of each field means its default.
type Load struct {
	Clients int // default 8
	Depth   int // requests of one client under way, at most; default 1
	Shared  int // keys that all clients read and write, whose histories must be linearizable; default 4
	Own     int // keys that only one client writes, for each client; default 8

	// Lossy permits a server to lose acknowledged writes because its replica takes over:
	// such losses are counted and are not violations. A blocked client may get UNBLOCKED.
	Lossy bool

	// Loading permits LOADING errors of a server that starts, as in a static pool, where no
	// other server could answer.
	Loading bool

	// Strict makes every error reply a violation: nothing is wrong with the servers.
	Strict bool

	// NoScripts leaves EVAL out, where another request may overtake a script: see ADR 0009.
	NoScripts bool

	Plain bool // only SET, GET, MSET, MGET and INCR; otherwise also transactions, scripts and blocking requests

	// Pause is the longest random wait of a client between its batches. It keeps histories
	// short and processors free. The default is 1 ms in a test's short form, and none if
	// RINGWAY_HA or RINGWAY_SOAK ask for the long one.
	Pause time.Duration
}

// Running is a load under way. Its methods belong to the test's goroutine.
type Running struct {
	t       testing.TB
	load    Load
	addr    string
	name    string
	started time.Time
	stop    chan struct{}
	wg      sync.WaitGroup
	clients []*client
	history history
}

var loads atomic.Int64 // so far; each has keys of its own

// Start runs clients against addr until Finish, or until the test ends.
func (l Load) Start(t testing.TB, addr string) *Running {
	t.Helper()
	l.Clients, l.Depth = defaultTo(l.Clients, 8), defaultTo(l.Depth, 1)
	l.Shared, l.Own = defaultTo(l.Shared, 4), defaultTo(l.Own, 8)
	if l.Pause == 0 && os.Getenv("RINGWAY_HA") == "" && os.Getenv("RINGWAY_SOAK") == "" {
		l.Pause = time.Millisecond
	}
	r := &Running{
		t: t, load: l, addr: addr, name: fmt.Sprintf("load%d", loads.Add(1)),
		started: time.Now(), stop: make(chan struct{}),
	}
	for id := range l.Clients {
		c := newClient(r, id)
		r.clients = append(r.clients, c)
		r.wg.Go(c.run)
	}
	t.Cleanup(r.end)
	return r
}

func defaultTo(n, standard int) int {
	if n == 0 {
		return standard
	}
	return n
}

func (r *Running) end() {
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
	r.wg.Wait()
}

// Progress waits until every client has had n more requests executed, and fails the
// test if that takes longer than timeout.
func (r *Running) Progress(n int, timeout time.Duration) {
	r.t.Helper()
	before := r.done()
	redistest.Eventually(r.t, timeout, fmt.Sprintf("%d more requests of each client", n), func() bool {
		return further(before, r.done(), int64(n))
	})
}

// done returns how many requests of each client were executed; for a client that has
// ended, the largest number.
func (r *Running) done() (done []int64) {
	for _, c := range r.clients {
		n := c.executed.Load()
		if c.ended.Load() {
			n = math.MaxInt64
		}
		done = append(done, n)
	}
	return done
}

// further reports whether all numbers have grown by n.
func further(before, now []int64, n int64) bool {
	for i := range before {
		if now[i]-n < before[i] && now[i] < math.MaxInt64 {
			return false
		}
	}
	return true
}

// Finish ends the load, reads everything back, checks all histories, and fails the test
// for each violation.
func (r *Running) Finish() *Report {
	r.t.Helper()
	report := r.Stop()
	r.t.Log(report)
	if n := len(report.Violations); n > 0 {
		r.t.Errorf("%d violations, the first:\n%s", n, strings.Join(report.Violations[:min(n, 10)], "\n"))
	}
	return report
}

// How long and how often the end of a load tries to read everything back: a fault may
// still be under way.
const (
	readBackWithin = 30 * time.Second
	readBackPause  = 10 * time.Millisecond
)

// Stop is Finish, but leaves it to the caller to judge the report.
func (r *Running) Stop() *Report {
	r.t.Helper()
	r.end()
	report := &Report{Counts: map[Outcome]int{}, Errors: map[string]int{}}
	for _, c := range r.clients {
		c.readBack()
	}
	if !r.load.Plain {
		r.checkIncreases()
	}
	for _, c := range r.clients {
		report.add(c)
	}
	r.history.check(report)
	return report
}

// client is one connection, used by one goroutine.
type client struct {
	running *Running
	id      int
	conn    net.Conn
	in      *bufio.Reader
	seq     int
	own     []*register
	counter counter
	list    pushed

	broken bool // replies are missing on its connection

	executed atomic.Int64
	ended    atomic.Bool // it sends no more requests

	// For the report, read once it has ended.
	counts     [outcomes]int
	errors     map[string]int
	violations []string

	increases, increasesUnknown int // of the shared counter

	lost        int
	lastSuccess time.Duration // since the start
	longestGap  time.Duration
}

func newClient(r *Running, id int) *client {
	c := &client{running: r, id: id, errors: map[string]int{}}
	for i := range r.load.Own {
		// Half of them are in one slot, the others in any.
		key := fmt.Sprintf("{%s:%d}:%d", r.name, id, i)
		if i%2 == 1 {
			key = fmt.Sprintf("%s:%d:%d", r.name, id, i)
		}
		c.own = append(c.own, &register{key: key, unknown: map[int]bool{}})
	}
	c.list = pushed{key: fmt.Sprintf("%s:%d:list", r.name, id), there: map[int]bool{}, perhaps: map[int]bool{}}
	c.counter.key = fmt.Sprintf("{%s:%d}:count", r.name, id)
	return c
}

func (c *client) since() time.Duration { return time.Since(c.running.started) }

// violation records a violation.
func (c *client) violation(format string, args ...any) {
	c.violations = append(c.violations, fmt.Sprintf("%7.3fs client %d: ", c.since().Seconds(), c.id)+fmt.Sprintf(format, args...))
}

func (c *client) run() {
	defer c.ended.Store(true)
	if !c.dial() {
		return
	}
	c.lastSuccess = c.since()
	for {
		select {
		case <-c.running.stop:
			return
		default:
		}
		var batch []question
		for len(batch) == 0 || len(batch) < 1+rand.N(c.running.load.Depth) {
			batch = append(batch, c.ask()...)
		}
		if !c.exchange(batch) || !c.running.load.Plain && rand.N(10) == 0 && !c.increase() {
			return
		}
		if p := c.running.load.Pause; p > 0 {
			c.wait(rand.N(p))
		}
	}
}

// wait returns early when the load ends.
func (c *client) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.running.stop:
	}
}

func (c *client) dial() bool {
	conn, err := net.Dial("tcp", c.running.addr)
	if err != nil {
		c.violation("%v", err)
		return false
	}
	c.running.t.Cleanup(func() { conn.Close() })
	c.conn, c.in = conn, bufio.NewReader(conn)
	return true
}

// question is one request, and a function for its reply.
type question struct {
	args  []string
	judge func(got reply, outcome Outcome, called time.Duration)
}

// replyWithin is how long a reply may take: longer than any failover.
const replyWithin = 20 * time.Second

// exchange sends a batch and checks its replies. It reports whether the connection can
// still be used.
func (c *client) exchange(batch []question) bool {
	if c.broken {
		return false
	}
	c.broken = true // until all replies have come
	var text strings.Builder
	for _, q := range batch {
		text.WriteString(redistest.Request(q.args...))
	}
	called := c.since()
	c.conn.SetDeadline(time.Now().Add(replyWithin))
	if _, err := io.WriteString(c.conn, text.String()); err != nil {
		c.violation("the connection failed: %v", err)
		return false
	}
	for _, q := range batch {
		got, err := readReply(c.in)
		if err != nil {
			c.violation("no reply to %q: %v", q.args, err)
			return false
		}
		outcome := outcomeOf(got)
		c.note(q, got, outcome)
		q.judge(got, outcome, called)
	}
	c.broken = false
	return true
}

// span matches a time in an error's text, which differs from error to error.
var span = regexp.MustCompile(`\d+(\.\d+)? ?(ms|s)\b`)

// note counts a reply.
func (c *client) note(q question, got reply, outcome Outcome) {
	c.counts[outcome]++
	if outcome == OK {
		c.executed.Add(1)
		now := c.since()
		c.longestGap = max(c.longestGap, now-c.lastSuccess)
		c.lastSuccess = now
		return
	}
	c.errors[span.ReplaceAllString(got.text, "some")+" to "+q.args[0]]++
	if c.running.load.Strict {
		c.violation("%v in reply to %q", got, q.args)
	}
	if outcome == Leaked && !c.mayLeak(got) {
		c.violation("%v in reply to %q", got, q.args)
	}
}

// mayLeak reports whether the load's clients may see an error of that kind.
func (c *client) mayLeak(got reply) bool {
	load := &c.running.load
	return load.Lossy && strings.HasPrefix(got.text, "UNBLOCKED ") || load.Loading && strings.HasPrefix(got.text, "LOADING ")
}
