package pipeline_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"ringway/eventloop"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pipeline"
	"ringway/resp"
)

func TestMain(m *testing.M) { os.Exit(redistest.RunCheckingLeaks(m)) }

// waitLimit bounds waits that end by themselves, unless something is wrong.
const waitLimit = 30 * time.Second

// rig is a Conn on a loop of its own. Its methods are for the test's goroutine.
type rig struct {
	t    *testing.T
	loop *eventloop.Loop
	conn *pipeline.Conn
	obs  *observer
	done chan outcome
	tag  uint32
}

// outcome is how a request ended.
type outcome struct {
	tag     uint32
	reply   string
	parts   int // in how many pieces the reply came
	failure *pipeline.Failure
	request string // as Fail was given it
}

// receiver collects the outcome of one rig's requests. It belongs to the loop.
type receiver struct {
	done  chan<- outcome
	parts map[uint32]*outcome
	// onEnd, if set, is called when a request has ended.
	onEnd func(outcome)
	empty int // parts without a byte
}

func (r *receiver) Reply(tag uint32, b []byte, last bool) {
	if len(b) == 0 {
		r.empty++
	}
	o := r.parts[tag]
	if o == nil {
		o = &outcome{tag: tag}
		r.parts[tag] = o
	}
	o.reply += string(b)
	o.parts++
	if last {
		r.end(*o)
	}
}

func (r *receiver) Fail(tag uint32, f *pipeline.Failure, request []byte) {
	o := outcome{tag: tag, failure: f, request: string(bytes.Clone(request))}
	if partial := r.parts[tag]; partial != nil {
		o.reply, o.parts = partial.reply, partial.parts
	}
	r.end(o)
}

func (r *receiver) end(o outcome) {
	delete(r.parts, o.tag)
	if r.onEnd != nil {
		r.onEnd(o)
	}
	r.done <- o
}

// observer counts what a Conn reports. Any goroutine may read it.
type observer struct {
	mu         sync.Mutex
	successes  int
	failures   []error
	suspends   bool // what Failed reports
	complaints []string
	changed    chan struct{}
}

func (o *observer) Succeeded() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.successes++
	o.announce()
}

func (o *observer) Failed(err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures = append(o.failures, err)
	o.announce()
	return o.suspends
}

func (o *observer) Complained(reply []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.complaints = append(o.complaints, string(reply))
}

func (o *observer) announce() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// succeeded waits until another success has been reported.
func (o *observer) succeeded(t *testing.T) {
	t.Helper()
	o.mu.Lock()
	changed := o.changed
	o.mu.Unlock()
	for before, late := o.count(), time.After(waitLimit); o.count() == before; {
		select {
		case <-changed:
			o.mu.Lock()
			changed = o.changed
			o.mu.Unlock()
		case <-late:
			t.Fatal("no success reported")
		}
	}
}

func (o *observer) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.successes
}

// failed waits until n failures have been reported and returns all there are.
func (o *observer) failed(t *testing.T, n int) []error {
	t.Helper()
	late := time.After(waitLimit)
	for {
		o.mu.Lock()
		errs, changed := append([]error(nil), o.failures...), o.changed
		o.mu.Unlock()
		if len(errs) >= n {
			return errs
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%d failures reported, want %d: %v", len(errs), n, errs)
		}
	}
}

func config(addr string) *pipeline.Config {
	return &pipeline.Config{
		Network: "tcp", Addr: addr, ConnectTimeout: 10 * time.Second,
		MaxRequests: 1000, MaxBytes: 1 << 20, Replies: resp.DefaultReplyLimits,
	}
}

func newRig(t *testing.T, cfg *pipeline.Config) *rig {
	t.Helper()
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, loop: loop, obs: &observer{changed: make(chan struct{})}, done: make(chan outcome, 1<<12)}
	r.conn = pipeline.New(loop, cfg, r.obs)
	ended := make(chan struct{})
	go func() {
		loop.Run()
		close(ended)
	}()
	t.Cleanup(func() {
		loop.Stop()
		<-ended
	})
	return r
}

// on runs fn on the loop and waits for it.
func (r *rig) on(fn func()) {
	done := make(chan struct{})
	r.loop.Post(func() {
		fn()
		close(done)
	})
	<-done
}

func (r *rig) receiver() *receiver {
	return &receiver{done: r.done, parts: map[uint32]*outcome{}}
}

// turns returns when the loop has handled what had come before the call.
func (r *rig) turns() {
	for range 3 {
		r.on(func() {})
	}
}

// send sends requests in one turn, with tags that count from 1, and fails the
// test if one is refused.
func (r *rig) send(requests ...string) {
	r.t.Helper()
	r.sendTo(r.receiver(), requests...)
}

func (r *rig) sendTo(to *receiver, requests ...string) {
	r.t.Helper()
	r.on(func() {
		for _, request := range requests {
			r.tag++
			if f := r.conn.Send([]byte(request), to, r.tag); f != nil {
				r.t.Errorf("request %d refused: %v", r.tag, f)
			}
		}
	})
}

// refused sends a request that must be refused and returns the reason.
func (r *rig) refused(request string) (f *pipeline.Failure) {
	r.t.Helper()
	r.on(func() { f = r.conn.Send([]byte(request), r.receiver(), 0) })
	if f == nil {
		r.t.Fatal("the request was taken")
	}
	return f
}

// next waits until another request has ended.
func (r *rig) next() outcome {
	r.t.Helper()
	select {
	case o := <-r.done:
		return o
	case <-time.After(waitLimit):
		r.t.Fatal("no request ended")
		return outcome{}
	}
}

// expect waits for replies to come, to the requests with tags from first on.
func (r *rig) expect(first uint32, replies ...string) {
	r.t.Helper()
	for i, want := range replies {
		if o := r.next(); o.tag != first+uint32(i) || o.failure != nil || o.reply != want {
			r.t.Fatalf("request %d ended with %.100q, %v; want request %d and %.100q", o.tag, o.reply, o.failure, first+uint32(i), want)
		}
	}
}

// expectFailure waits for the request with a tag to fail.
func (r *rig) expectFailure(tag uint32, cause error, sent bool) outcome {
	r.t.Helper()
	o := r.next()
	if o.tag != tag || o.failure == nil || !errors.Is(o.failure, cause) || o.failure.Sent != sent {
		r.t.Fatalf("request %d ended with %.100q, %v; want request %d and %v, sent: %v", o.tag, o.reply, o.failure, tag, cause, sent)
	}
	return o
}

// eventually waits, on the loop's time, until cond holds there.
func (r *rig) eventually(what string, cond func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(waitLimit)
	for {
		holds := false
		if r.on(func() { holds = cond() }); holds {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func get(key string) string { return fakeredis.Array(fakeredis.Bulk("GET"), fakeredis.Bulk(key)) }

// closedAddr returns an address at which nothing listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
