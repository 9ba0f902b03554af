package tlsconn

import (
	"crypto/tls"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"ringway/eventloop"
)

const (
	// shakingTime is how long a client may take for its handshake.
	shakingTime = 10 * time.Second
	// maxShaking is how many handshakes have a goroutine. More clients wait for one.
	maxShaking = 1000
)

// Handshakes shakes hands with clients. Each handshake has a goroutine, of which there are 1000 at
// most. Only a few of them compute at a time, one for every two processors: however many clients come at
// once, the loops get their share. A client that is slow keeps nobody waiting. Any goroutine may
// use it.
type Handshakes struct {
	computing chan struct{} // has a value for each handshake that computes

	mu      sync.Mutex // guards what follows; held for moments
	running map[*shaking]bool
	waiting []*shaking // for a goroutine, oldest first
	closed  bool
	ended   sync.WaitGroup
}

// NewHandshakes returns a Handshakes, which the caller closes.
func NewHandshakes() *Handshakes {
	return &Handshakes{computing: make(chan struct{}, max(1, runtime.NumCPU()/2)), running: map[*shaking]bool{}}
}

// Client is a client that has connected.
type Client struct {
	FD     int         // its socket, non-blocking, which belongs to Handshakes
	Input  []byte      // what was read from it already
	Config *tls.Config // must not change any more
}

// Result is the result of a handshake.
type Result struct {
	Socket eventloop.Socket    // with a Cipher; belongs to whoever gets it
	State  tls.ConnectionState // what was agreed upon, and the client's certificates
	Err    error               // if not nil, the socket is closed
}

// Start shakes hands with a client and then calls done, on a goroutine of its own. It does not wait. After Close
// it calls done itself, with an error.
func (h *Handshakes) Start(c Client, done func(Result)) {
	s := &shaking{h: h, client: c, done: done}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		eventloop.CloseFD(c.FD)
		done(Result{Err: os.ErrClosed})
		return
	}
	defer h.mu.Unlock()
	if len(h.running) >= maxShaking {
		h.waiting = append(h.waiting, s)
		return
	}
	h.run(s)
}

// run gives a handshake its goroutine. h.mu is held.
func (h *Handshakes) run(s *shaking) {
	s.file = os.NewFile(uintptr(s.client.FD), "client") // the runtime's poller waits for it
	if h.closed {
		s.file.Close()
	}
	h.running[s] = true
	h.ended.Go(func() {
		s.done(s.run())
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.running, s)
		if len(h.waiting) > 0 {
			next := h.waiting[0]
			h.waiting = h.waiting[1:]
			h.run(next)
		}
	})
}

// UnderWay returns how many clients have a handshake under way, or wait for it.
func (h *Handshakes) UnderWay() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.running) + len(h.waiting)
}

// Close ends all handshakes, which fail, and waits until done was called for each.
func (h *Handshakes) Close() {
	h.mu.Lock()
	h.closed = true
	for s := range h.running {
		s.file.Close()
	}
	h.mu.Unlock()
	h.ended.Wait()
}

// shaking is one handshake. It belongs to its goroutine.
type shaking struct {
	h         *Handshakes
	client    Client
	done      func(Result)
	file      *os.File // the client's socket; Handshakes.Close may close it
	computing bool     // it has a value in h.computing
}

func (s *shaking) run() (r Result) {
	defer s.file.Close()
	defer s.pause()
	s.file.SetDeadline(time.Now().Add(shakingTime))
	c := &Conn{wire: wire{shaking: s, in: s.client.Input}}
	c.tls = tls.Server(&c.wire, s.client.Config)
	if r.Err = c.tls.Handshake(); r.Err != nil {
		s.refuse(r.Err)
		return r
	}
	fd, err := duplicate(s.file)
	if err != nil {
		return Result{Err: err}
	}
	r.State = c.tls.ConnectionState()
	r.Socket = eventloop.Socket{FD: fd, Cipher: c, Input: c.wire.in}
	c.wire = wire{}
	c.drop()
	return r
}

// refuse answers a client that speaks no TLS, as far as it can be told.
func (s *shaking) refuse(err error) {
	if ReasonOf(err) == NotTLS {
		s.file.Write([]byte("-ERR this port takes clients that speak TLS only\r\n"))
	}
}

// read reads behind b. The handshake does not count as computing meanwhile.
func (s *shaking) read(b []byte) ([]byte, error) {
	s.pause()
	defer s.proceed()
	if cap(b)-len(b) < 1<<10 {
		b = append(make([]byte, 0, max(2<<10, 2*len(b))), b...)
	}
	n, err := s.file.Read(b[len(b):cap(b)])
	return b[:len(b)+n], err
}

// write writes b, which hardly ever waits.
func (s *shaking) write(b []byte) (int, error) { return s.file.Write(b) }

func (s *shaking) pause() {
	if s.computing {
		s.computing = false
		<-s.h.computing
	}
}

func (s *shaking) proceed() {
	if !s.computing {
		s.h.computing <- struct{}{}
		s.computing = true
	}
}

// duplicate returns another descriptor of a file, which the runtime's poller does not know.
func duplicate(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(s uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, err = syscall.Dup(int(s)); err == nil {
			syscall.CloseOnExec(fd)
		}
	})
	if cerr != nil {
		return -1, cerr
	}
	return fd, err
}
