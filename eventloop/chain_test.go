package eventloop

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
)

// Whatever is appended, in whichever way, arrives as it was appended, and all that was lent for
// it comes back; also while the peer takes it slowly.
func TestMuchOutputArrivesWhole(t *testing.T) {
	for _, answers := range []bool{false, true} {
		l := startLoop(t)
		r := newRecorder()
		r.drained = make(chan struct{}, 1<<10)
		peer := attach(t, l, r)
		rnd := rand.New(rand.NewPCG(1, 2))
		var sent, got bytes.Buffer
		onLoop(l, func() {
			if answers {
				r.conn.PeerIsServer()
			}
		})
		for range 100 {
			onLoop(l, func() {
				for range rnd.IntN(4) {
					b := random(rnd)
					sent.Write(b)
					appendAs(l, r.conn, b, rnd.IntN(4))
				}
			})
			if waiting := sent.Len() - got.Len(); waiting > 0 && rnd.IntN(2) == 0 {
				io.CopyN(&got, peer, int64(rnd.IntN(waiting)+1))
			}
		}
		io.CopyN(&got, peer, int64(sent.Len()-got.Len()))
		if !bytes.Equal(got.Bytes(), sent.Bytes()) {
			t.Fatal("other bytes arrived than were appended")
		}
		onLoop(l, func() {
			if r.conn.Waiting() != 0 || l.Lent() != 0 {
				t.Errorf("%d bytes wait, %d are lent", r.conn.Waiting(), l.Lent())
			}
		})
	}
}

func TestUnwrittenBlocksAreTakenInOneBuffer(t *testing.T) {
	l := startLoop(t)
	r := newRecorder()
	peer := attach(t, l, r)
	rnd := rand.New(rand.NewPCG(3, 4))
	var sent []byte
	for range 100 {
		onLoop(l, func() {
			b := random(rnd)
			sent = append(sent, b...)
			appendAs(l, r.conn, b, rnd.IntN(4))
		})
	}
	var unwritten []byte
	onLoop(l, func() {
		waiting := r.conn.Waiting()
		b := r.conn.TakeUnwritten()
		if len(b) != waiting || r.conn.Waiting() != 0 {
			t.Errorf("%d bytes taken of %d, %d left", len(b), waiting, r.conn.Waiting())
		}
		unwritten = bytes.Clone(b)
		l.Release(b)
		r.conn.Close()
		if l.Lent() != 0 {
			t.Errorf("%d bytes are lent", l.Lent())
		}
	})
	written, _ := io.ReadAll(peer)
	if !bytes.Equal(append(written, unwritten...), sent) {
		t.Error("what was written and what was taken is not what was appended")
	}
}

// Output that the peer does not take is in memory once.
func TestMuchOutputIsInMemoryOnce(t *testing.T) {
	l := startLoop(t)
	r := newRecorder()
	attach(t, l, r)
	const size = 64 << 20
	onLoop(l, func() {
		chunk := make([]byte, 100<<10)
		for r.conn.Waiting() < size {
			r.conn.Write(chunk)
			if over := l.Lent() - r.conn.Waiting(); over > 2*blockSize {
				t.Errorf("%d bytes more are lent than wait", over)
			}
		}
		r.conn.Close()
		if l.Lent() != 0 {
			t.Errorf("%d bytes are lent", l.Lent())
		}
	})
}

func random(rnd *rand.Rand) []byte {
	b := make([]byte, rnd.IntN([]int{100, 20 << 10, 100 << 10, 300 << 10}[rnd.IntN(4)]))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// appendAs appends b in one of the ways that there are.
func appendAs(l *Loop, c *Conn, b []byte, way int) {
	switch way {
	case 0:
		c.Append(b)
	case 1:
		c.Write(b)
	case 2:
		c.Commit(append(c.Reserve(len(b)), b...))
	default:
		var ch Chain
		for rest := b; len(rest) > 0; {
			n := min(len(rest), 30<<10)
			l.Append(&ch, rest[:n])
			rest = rest[n:]
		}
		c.WriteChain(&ch)
	}
}
