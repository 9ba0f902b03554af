package eventloop

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// oneByOne in the environment has the loops of all tests do without io_uring.
const oneByOne = "EVENTLOOP_TEST_ONE_BY_ONE"

// TestMain runs all tests with io_uring and then, in another process and not with -short,
// without.
func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv(oneByOne) == "" && !testing.Short() {
		cmd := exec.Command(os.Args[0], os.Args[1:]...)
		cmd.Env = append(os.Environ(), oneByOne+"=1")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Println("without io_uring:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// newLoop returns a loop, with io_uring if this process tests that and the
// machine has it.
func newLoop(t *testing.T) *Loop {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(oneByOne) == "" {
		if err := l.UseIOURing(); err != nil {
			t.Log("without io_uring: ", err)
		}
	}
	return l
}

// TestManyConnectionsAtOnceKeepTheirBytes has more connections ready in a turn
// than are read together, with little and much to read.
func TestManyConnectionsAtOnceKeepTheirBytes(t *testing.T) {
	l := startLoop(t)
	var wg sync.WaitGroup
	for i := range 3*maxBatchReads + 5 {
		e := &echo{}
		peer := attachEcho(t, l, e)
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			for range 30 {
				size := rnd.IntN(200)
				if rnd.IntN(4) == 0 {
					size = rnd.IntN(4 * partSize)
				}
				sent := bytes.Repeat([]byte{byte(i), byte(rnd.Uint32())}, 1+size/2)
				if _, err := peer.Write(sent); err != nil {
					t.Error(err)
					return
				}
				got := make([]byte, len(sent))
				if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("connection %d: other bytes than the %d sent, %v", i, len(sent), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func attachEcho(t *testing.T, l *Loop, e *echo) net.Conn {
	t.Helper()
	r := newRecorder()
	peer := attach(t, l, r)
	onLoop(l, func() {
		e.conn = r.conn
		r.conn.h = e
	})
	return peer
}

// allReadyAtOnce makes every peer send something, in one turn of the loop.
func allReadyAtOnce(l *Loop, peers ...net.Conn) {
	onLoop(l, func() {
		for _, p := range peers {
			p.Write([]byte("x"))
		}
	})
}

// The first that is handled closes and pauses others whose bytes may have been
// read already.
func TestConnectionClosedByAnotherGetsNoData(t *testing.T) {
	l := startLoop(t)
	var rs [4]*recorder
	var peers []net.Conn
	for i := range rs {
		rs[i] = newRecorder()
		peers = append(peers, attach(t, l, rs[i]))
	}
	var first, closed, paused *recorder
	for _, r := range rs {
		r.consume = func(b []byte) int {
			if first != nil {
				return len(b)
			}
			first = r
			for _, other := range rs {
				switch {
				case other == r:
				case closed == nil:
					closed = other
					other.conn.Close()
				case paused == nil:
					paused = other
					other.conn.Pause()
				}
			}
			return len(b)
		}
	}
	allReadyAtOnce(l, peers...)
	onLoop(l, func() {})
	onLoop(l, func() {
		if n := len(closed.data) + len(paused.data); n != 0 {
			t.Errorf("data was handed to closed or paused connections %d times", n)
		}
		paused.conn.Resume()
		paused.conn.Redeliver()
	})
	if got := receive(t, paused.data, "data after Resume"); string(got) != "x" {
		t.Errorf("%q", got)
	}
}

func TestEndsOfManyConnectionsAtOnce(t *testing.T) {
	l := startLoop(t)
	var rs []*recorder
	var peers []net.Conn
	for range maxBatchReads + 3 {
		r := newRecorder()
		rs = append(rs, r)
		peers = append(peers, attach(t, l, r))
	}
	onLoop(l, func() {
		for i, p := range peers {
			if i%2 == 0 {
				p.(*net.TCPConn).SetLinger(0) // a reset
			}
			p.Close()
		}
	})
	for i, r := range rs {
		if i%2 == 0 {
			receive(t, r.closed, "Closed")
		} else {
			receive(t, r.eof, "EOF")
		}
	}
}

// When a write fails, the handler that is told finds of other connections only that
// unwritten which is not being sent: what was sent must not be sent again.
func TestFailureFindsOnlyUnwrittenBytesUnwritten(t *testing.T) {
	l := startLoop(t)
	lost, other := newRecorder(), newRecorder()
	lostPeer, otherPeer := attach(t, l, lost), attach(t, l, other)
	var again []byte
	taken := make(chan struct{})
	onLoop(l, func() {
		lost.conn.h = onClosed{lost, func() {
			again = other.conn.TakeUnwritten()
			close(taken)
		}}
		lostPeer.(*net.TCPConn).SetLinger(0)
		lostPeer.Close()
		// Both are written in this turn, and the first fails.
		lost.conn.Append([]byte("in vain"))
		other.conn.Append([]byte("once"))
	})
	receive(t, taken, "the failure")
	onLoop(l, func() {
		if other.conn.Open() && len(again) > 0 {
			other.conn.Append(again)
		}
		other.conn.Append([]byte("."))
	})
	got := make([]byte, 5)
	if _, err := io.ReadFull(otherPeer, got); err != nil || string(got) != "once." {
		t.Fatalf("%q, %v", got, err)
	}
}

type onClosed struct {
	*recorder
	fn func()
}

func (h onClosed) Closed(error) { h.fn() }

// A full output leaves in the midst of a turn, and what the connection gets
// afterwards at its end: neither twice.
func TestFullOutputIsWrittenOnce(t *testing.T) {
	l := startLoop(t)
	a, b, answering := newRecorder(), newRecorder(), newRecorder()
	peers := []net.Conn{attach(t, l, a), attach(t, l, b)}
	reader := attach(t, l, answering)
	n, want := byte(0), []byte(nil)
	bring := func(b []byte) int {
		size := []int{40, 1}[n%2] // much, and then a little
		n++
		for range size {
			answering.conn.Append(bytes.Repeat([]byte{n}, 1024))
		}
		want = append(want, bytes.Repeat([]byte{n}, size*1024)...)
		a.conn.Append([]byte("y")) // so that there is more than one to write to
		return len(b)
	}
	a.consume, b.consume = bring, bring
	onLoop(l, func() { answering.conn.PeerIsServer() })
	for range 20 {
		allReadyAtOnce(l, peers...)
		got := make([]byte, 41*1024)
		if _, err := io.ReadFull(reader, got); err != nil {
			t.Fatal(err)
		}
		onLoop(l, func() {
			if !bytes.Equal(got, want) {
				t.Errorf("other bytes than were appended, from byte %d on", mismatch(got, want))
			}
			want = nil
		})
	}
}

func mismatch(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
