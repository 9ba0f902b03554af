package eventloop

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

// forwarder passes on what it is given in messages of a size, when they are whole.
type forwarder struct {
	*recorder
	to   *Conn
	size int
}

func (f *forwarder) Need() int { return f.size }

func (f *forwarder) Data(b []byte) (n int) {
	for len(b)-n >= f.size {
		f.to.Write(b[n : n+f.size])
		n += f.size
	}
	return n
}

// Large input that is written on is in memory once, arrives as it was, and all that was
// lent for it comes back, whoever ends first.
func TestLargeInputIsPassedOnWithoutACopy(t *testing.T) {
	l := startLoop(t)
	out := newRecorder()
	reader := attach(t, l, out)
	in := &forwarder{recorder: newRecorder(), size: 5<<20 + 7}
	writer := attach(t, l, in.recorder)
	onLoop(l, func() { in.to, in.conn.h = out.conn, in })
	sent := make([]byte, 3*in.size+100<<10)
	rand.NewChaCha8([32]byte{}).Read(sent)
	go writer.Write(sent)
	onceOnLoop(t, l, func() bool { return in.conn.Unread() == len(sent)-3*in.size })
	onLoop(l, func() {
		if waiting := out.conn.Waiting(); waiting < in.size || l.Lent() > waiting+1<<20 {
			t.Errorf("%d bytes are lent for %d", l.Lent(), waiting)
		}
		in.conn.Close()
	})
	got := make([]byte, 3*in.size)
	if _, err := io.ReadFull(reader, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent[:len(got)]) {
		t.Error("other bytes arrived than were sent")
	}
	onceOnLoop(t, l, func() bool { return l.Lent() == 0 })
}

// onceOnLoop waits until something holds on the loop.
func onceOnLoop(t *testing.T, l *Loop, holds func() bool) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		ok := false
		onLoop(l, func() { ok = holds() })
		if ok {
			return
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("waited in vain")
		}
	}
}

// A buffer is copied a few times on its way to a large size that is announced, and little
// is reserved for what is not there.
func TestInputGrowsInFewSteps(t *testing.T) {
	const announced = 100 << 20
	size, copied := 16<<10, 0
	for size < announced {
		next := inSize(size, announced)
		if next > 8*size {
			t.Errorf("%d bytes are reserved for %d", next, size)
		}
		copied += size
		size = next
	}
	if size != announced || copied > announced/2 {
		t.Errorf("grew to %d bytes; %d were copied", size, copied)
	}
}
