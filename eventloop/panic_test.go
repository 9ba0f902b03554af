package eventloop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// panicker is a Handler that echoes, and panics where a test wants it to.
type panicker struct {
	conn      *Conn
	panics    string // the callback that does
	left      int    // bytes that Data leaves
	calls     []string
	retained  []byte // what the panicking Data was given
	closed    error
	abandoned int
}

func (f *panicker) called(name string) {
	f.calls = append(f.calls, name)
	if f.panics == name {
		panic("in " + name)
	}
}

func (f *panicker) Data(b []byte) int {
	if f.panics == "Data" {
		f.retained = b
	}
	f.called("Data")
	n := max(0, len(b)-f.left)
	f.conn.Append(b[:n])
	return n
}
func (f *panicker) EOF()             { f.called("EOF") }
func (f *panicker) Drained()         { f.called("Drained") }
func (f *panicker) RunDeferred()     { f.called("RunDeferred") }
func (f *panicker) Closed(err error) { f.closed = err; f.called("Closed") }
func (f *panicker) Abandon()         { f.abandoned++ }

// panicBench is a loop that a test turns by hand, with connections to panickers.
type panicBench struct {
	t      *testing.T
	loop   *Loop
	panics []Panic
	conns  []*panicker
	peers  []*net.UnixConn
}

func newPanicBench(t *testing.T, conns int) *panicBench {
	t.Helper()
	b := &panicBench{t: t, loop: newLoop(t)}
	b.loop.OnPanic(func(p Panic) { b.panics = append(b.panics, p) })
	t.Cleanup(func() {
		b.loop.Stop()
		b.loop.Run()
	})
	for range conns {
		peer, fd, err := pair()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { peer.Close() })
		f := &panicker{}
		if f.conn, err = b.loop.Attach(fd, f); err != nil {
			t.Fatal(err)
		}
		b.conns, b.peers = append(b.conns, f), append(b.peers, peer)
	}
	return b
}

// pair returns two connected sockets: a test's own, and the descriptor of one for a
// loop.
func pair() (*net.UnixConn, int, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, -1, err
	}
	file := os.NewFile(uintptr(fds[0]), "peer")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err == nil {
		err = syscall.SetNonblock(fds[1], true)
	}
	if err != nil {
		closeFD(fds[1])
		return nil, -1, err
	}
	return conn.(*net.UnixConn), fds[1], nil
}

// writeNumbers makes the peers of all connections but one write their number.
func (b *panicBench) writeNumbers(but int) {
	for i, peer := range b.peers {
		if i != but {
			fmt.Fprintf(peer, "hello %3d", i)
		}
	}
}

// readNumbers checks that all connections but one have echoed what writeNumbers wrote, and no more.
func (b *panicBench) readNumbers(but int) {
	b.t.Helper()
	for i, peer := range b.peers {
		if i == but {
			continue
		}
		peer.SetReadDeadline(time.Now().Add(time.Minute))
		got := make([]byte, 9)
		if _, err := io.ReadFull(peer, got); err != nil || string(got) != fmt.Sprintf("hello %3d", i) {
			b.t.Fatalf("connection %d: %q, %v", i, got, err)
		}
	}
}

// survived checks that there was one panic, which cost one connection at most.
func (b *panicBench) survived(lost int) {
	b.t.Helper()
	if len(b.panics) != 1 || !bytes.Contains(b.panics[0].Stack, []byte("panicker")) && !bytes.Contains(b.panics[0].Stack, []byte("TestPanic")) {
		b.t.Fatalf("panics: %v", b.panics)
	}
	for i, f := range b.conns {
		if f.conn.Open() == (i == lost) {
			b.t.Errorf("connection %d: open %v", i, f.conn.Open())
		}
	}
	b.writeNumbers(lost)
	b.loop.turn()
	b.readNumbers(lost)
}

// many is more than are read or written together.
const many = maxBatch + maxBatchReads + 5

func TestPanicOfAHandlerCostsItsConnectionOnly(t *testing.T) {
	for at := range []int{0, 1, 2} {
		lost := []int{0, many / 2, many - 1}[at]
		t.Run(fmt.Sprint("Data ", lost), func(t *testing.T) {
			b := newPanicBench(t, many)
			b.conns[lost].panics = "Data"
			b.writeNumbers(-1)
			b.loop.turn()
			b.readNumbers(lost)
			b.survived(lost)
			f := b.conns[lost]
			if !errors.Is(f.closed, ErrPanicked) || f.abandoned != 1 {
				t.Errorf("Closed with %v, abandoned %d times", f.closed, f.abandoned)
			}
			if want := fmt.Sprintf("hello %3d", lost); string(f.retained) != want {
				t.Errorf("what it was given to look at is %q now, was %q", f.retained, want)
			}
		})
	}
	t.Run("Data with bytes that were left", func(t *testing.T) {
		b := newPanicBench(t, 3)
		f := b.conns[1]
		f.left = 1
		b.peers[1].Write([]byte("hello   1"))
		b.loop.turn()
		f.panics = "Data"
		b.writeNumbers(-1)
		b.loop.turn()
		b.readNumbers(1)
		b.survived(1)
		if want := "1hello   1"; string(f.retained) != want {
			t.Errorf("what it was given to look at is %q now, was %q", f.retained, want)
		}
	})
	t.Run("EOF", func(t *testing.T) {
		b := newPanicBench(t, 3)
		b.conns[1].panics = "EOF"
		b.writeNumbers(1)
		b.peers[1].CloseWrite()
		b.loop.turn()
		b.readNumbers(1)
		b.survived(1)
	})
	t.Run("Drained", func(t *testing.T) {
		b := newPanicBench(t, 3)
		f := b.conns[1]
		f.panics = "Drained"
		const size = 4 << 20
		f.conn.Write(make([]byte, size))
		if !f.conn.Stalled() {
			t.Fatal("the system took 4 MiB at once")
		}
		read := make(chan error, 1)
		go func() {
			_, err := io.CopyN(io.Discard, b.peers[1], size)
			read <- err
		}()
		for f.conn.Open() {
			b.loop.turn()
		}
		if err := <-read; err != nil {
			t.Error(err)
		}
		b.survived(1)
	})
	t.Run("Closed", func(t *testing.T) {
		b := newPanicBench(t, many)
		lost := many / 2
		b.conns[lost].panics = "Closed"
		b.peers[lost].Close()
		b.writeNumbers(lost)
		b.conns[lost].conn.Append([]byte("nobody reads this")) // among the writes of the turn
		b.loop.Post(func() {
			for i, f := range b.conns {
				if i != lost {
					f.conn.Append(fmt.Appendf(nil, "hello %3d", i))
				}
			}
		})
		b.loop.turn()
		for range 2 {
			b.readNumbers(lost)
		}
		b.survived(lost)
	})
}

func TestPanicLosesNothingThatIsDeferred(t *testing.T) {
	b := newPanicBench(t, 2)
	f := b.conns[1]
	f.panics = "RunDeferred"
	var ran []int
	for i := range 5 {
		if i == 2 {
			b.loop.Defer(f)
			b.loop.Defer(deferredFunc(func() { b.loop.Defer(deferredFunc(func() { ran = append(ran, 9) })) }))
		}
		b.loop.Defer(deferredFunc(func() { ran = append(ran, i) }))
	}
	b.conns[0].conn.Append([]byte("hello   0"))
	b.loop.Post(func() {})
	b.loop.turn()
	if len(ran) == 5 {
		b.loop.turn() // it took so long that the last one had to wait
	}
	b.readNumbers(1)
	if want := []int{0, 1, 2, 3, 4, 9}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	if !errors.Is(f.closed, ErrPanicked) || f.abandoned != 1 {
		t.Errorf("Closed with %v, abandoned %d times", f.closed, f.abandoned)
	}
	b.survived(1)
}

func TestPanicLosesNothingThatIsPosted(t *testing.T) {
	b := newPanicBench(t, 1)
	var ran []int
	for i := range 5 {
		b.loop.Post(func() {
			if ran = append(ran, i); i == 2 {
				b.loop.Post(func() { ran = append(ran, 9) })
				panic("in a posted function")
			}
		})
	}
	for len(ran) < 6 {
		b.loop.turn()
	}
	if want := []int{0, 1, 2, 3, 4, 9}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	b.survived(-1)
}

func TestPanicLosesNoTimer(t *testing.T) {
	b := newPanicBench(t, 1)
	owner := &panicker{}
	var ran []int
	for i := range 5 {
		b.loop.NewTimer(func() {
			if ran = append(ran, i); i == 2 {
				panic("in a timer")
			}
		}).OwnedBy(owner).Reset(int64(i))
	}
	b.loop.turn()
	if want := []int{0, 1, 2, 3, 4}; !slices.Equal(ran, want) || owner.abandoned != 1 {
		t.Errorf("ran %v, want %v; abandoned %d times", ran, want, owner.abandoned)
	}
	b.survived(-1)
}

func TestPanicWhileAPanicIsDealtWith(t *testing.T) {
	b := newPanicBench(t, 3)
	b.conns[1].panics = "Data"
	again := &panicsInClosed{b.conns[1]}
	b.conns[1].conn.h = again
	b.writeNumbers(-1)
	b.loop.turn()
	b.readNumbers(1)
	if len(b.panics) != 2 {
		t.Errorf("%d panics, want 2", len(b.panics))
	}
	b.panics = b.panics[:1]
	b.survived(1)
}

// panicsInClosed panics again in Closed.
type panicsInClosed struct{ *panicker }

func (f *panicsInClosed) Closed(error) { panic("in Closed") }

func TestPanicEndsTheProcessWithoutOnPanic(t *testing.T) {
	f := func(name string, onPanic func(Panic)) {
		t.Run(name, func(t *testing.T) {
			b := newPanicBench(t, 1)
			b.loop.onPanic = onPanic
			b.conns[0].panics = "Data"
			b.writeNumbers(-1)
			defer func() {
				if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "in Data") {
					t.Errorf("recovered %v", v)
				}
			}()
			b.loop.turn()
			t.Error("the loop goes on")
		})
	}
	f("without OnPanic", nil)
	f("OnPanic's function panics", func(p Panic) { panic(p.Value) })
}
