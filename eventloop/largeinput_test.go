package eventloop

import (
	"bytes"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// forwarder passes on what it is given in messages of a size, when they are whole.
type forwarder struct {
	*recorder
	to   *Conn
	size int
	look func(b []byte)
}

func (f *forwarder) Need() int { return f.size }

func (f *forwarder) Data(b []byte) (n int) {
	if f.look != nil {
		f.look(b)
	}
	for len(b)-n >= f.size {
		f.to.Write(b[n : n+f.size])
		n += f.size
	}
	return n
}

// Large input that is written on is in memory once, arrives as it was, and all that was
// lent for it comes back, whichever side ends first.
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
		if waiting := out.conn.Waiting(); waiting < in.size || l.Lent() > waiting+in.size+1<<20 {
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

// What is announced and does not come takes no memory, and a connection that ends gives
// back what it had, also while its handler is using it.
func TestAnnouncedInputTakesNoMemory(t *testing.T) {
	for _, within := range []bool{false, true} {
		l := startLoop(t)
		in := &forwarder{recorder: newRecorder(), size: 1 << 40}
		writer := attach(t, l, in.recorder)
		closing := false
		onLoop(l, func() {
			in.conn.h = in
			in.look = func(b []byte) {
				if closing {
					in.conn.Close()
					if b[0] != 1 || b[len(b)-1] != 2 {
						t.Error("the bytes that the handler is using have changed")
					}
				}
			}
		})
		sent := make([]byte, 3<<20)
		sent[0], sent[len(sent)-1] = 1, 2
		writer.Write(sent[:len(sent)-1])
		onceOnLoop(t, l, func() bool { return in.conn.Unread() == len(sent)-1 })
		onLoop(l, func() {
			if lent := l.Lent(); lent > 4<<20 {
				t.Errorf("%d bytes are lent", lent)
			}
			closing = within
			if !within {
				in.conn.Close()
			}
		})
		writer.Write(sent[len(sent)-1:])
		onceOnLoop(t, l, func() bool { return l.Lent() == 0 })
	}
}

// Where so much can't be mapped, a buffer grows with what comes.
func TestInputThatCanNotBeMapped(t *testing.T) {
	l := startLoop(t)
	in := &forwarder{recorder: newRecorder(), size: 1 << 60}
	writer := attach(t, l, in.recorder)
	onLoop(l, func() { in.conn.h = in })
	sent := make([]byte, 3<<20)
	writer.Write(sent)
	onceOnLoop(t, l, func() bool { return in.conn.Unread() == len(sent) })
	onLoop(l, func() {
		if lent := l.Lent(); lent > 3*len(sent) {
			t.Errorf("%d bytes are lent", lent)
		}
		in.conn.Close()
	})
	onceOnLoop(t, l, func() bool { return l.Lent() == 0 })
}

// A large request that turns out to be a little longer than was announced, as SET with
// options behind its value, is not copied for that.
func TestALittleMoreThanAnnouncedIsNoCopy(t *testing.T) {
	const announced, more = 5 << 20, 28
	l := startLoop(t)
	in := &forwarder{recorder: newRecorder(), size: announced}
	writer := attach(t, l, in.recorder)
	var at *byte
	onLoop(l, func() {
		in.to, in.conn.h = in.conn, in
		in.look = func(b []byte) {
			if len(b) <= announced/2 {
				return
			}
			if at != nil && at != &b[0] {
				t.Errorf("%d bytes were copied", len(b))
			}
			at = &b[0]
			if len(b) >= announced {
				in.size = announced + more
			}
		}
	})
	writer.Write(make([]byte, announced))
	onceOnLoop(t, l, func() bool { return in.size > announced && in.conn.Unread() == announced })
	go writer.Write(make([]byte, more))
	if _, err := io.ReadFull(writer, make([]byte, announced+more)); err != nil {
		t.Fatal(err)
	}
}

// An access to memory that is not mapped any more is a panic like others.
func TestFaultsArePanicsOnALoop(t *testing.T) {
	l := newLoop(t)
	survived := make(chan Panic, 1)
	l.OnPanic(func(p Panic) { survived <- p })
	mem, err := syscall.Mmap(-1, 0, 1<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Munmap(mem)
	l.Post(func() { mem[5]++ })
	go l.Run()
	<-survived
	onLoop(l, l.Stop)
}
