package eventloop

import (
	"bytes"
	"slices"
	"syscall"
	"testing"
)

// ring returns an io_uring, if this machine lets the test have one.
func ring(t *testing.T) *uring {
	t.Helper()
	u, err := openURing()
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(u.close)
	return u
}

// inHeap returns n bytes that stay where they are.
//
//go:noinline
func inHeap(n int) []byte { return make([]byte, n) }

// socketPair returns two ends of a non-blocking connection.
func socketPair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Close(fds[0])
		syscall.Close(fds[1])
	})
	return fds[0], fds[1]
}

// TestIOURingReturnsWhatTheCallsWould compares with the calls made one by one,
// which is also what happens when the kernel takes no more of them.
func TestIOURingReturnsWhatTheCallsWould(t *testing.T) {
	f := func(name string, spoil func(u *uring)) {
		t.Run(name, func(t *testing.T) {
			u := ring(t)
			spoil(u)
			a, b := socketPair(t)
			gone, other := socketPair(t)
			if err := syscall.Shutdown(other, syscall.SHUT_RDWR); err != nil {
				t.Fatal(err)
			}
			much, hello := inHeap(16<<20), inHeap(5)
			one, two, rest := inHeap(3), inHeap(2), inHeap(9)
			copy(hello, "hello")
			u.read(a, one)      // nothing there
			u.write(b, hello)   // all
			u.read(a, one)      // a part
			u.read(a, two)      // exactly the rest
			u.read(a, rest)     // nothing again
			u.read(gone, rest)  // the end
			u.write(gone, rest) // nobody reads
			u.read(1<<20, rest) // no descriptor
			u.write(a, much)    // more than there is room for
			got := slices.Clone(u.run())
			want := []int32{-int32(syscall.EAGAIN), 5, 3, 2, -int32(syscall.EAGAIN), 0, -int32(syscall.EPIPE), -int32(syscall.EBADF)}
			if n := len(want); !slices.Equal(got[:n], want) || len(got) != n+1 || got[n] <= 0 || int(got[n]) >= len(much) {
				t.Errorf("got %d, want %d and a part of %d", got, want, len(much))
			}
			if string(one)+string(two) != "hello" {
				t.Errorf("read %q and %q", one, two)
			}
		})
	}
	f("together", func(*uring) {})
	f("one by one after the ring is lost", func(u *uring) {
		syscall.Close(u.fd)
		u.fd = -1
	})
}

func TestLostIOURingIsGivenUp(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer l.poll.close()
	if err := l.UseIOURing(); err != nil {
		t.Skip(err)
	}
	u := l.io.uring
	real := u.fd
	u.fd = -1
	a, _ := socketPair(t)
	u.write(a, inHeap(1))
	if got := u.run(); got[0] != 1 || !u.broken {
		t.Fatalf("%d, broken %v", got, u.broken)
	}
	u.fd = real
	if l.io.enabled(2) || l.io.uring != nil {
		t.Error("still in use")
	}
}

// TestIOURingGoesRoundManyTimes passes the end of its rings at every place.
func TestIOURingGoesRoundManyTimes(t *testing.T) {
	u := ring(t)
	a, b := socketPair(t)
	want := inHeap(maxBatch)
	for i := range want {
		want[i] = byte(i)
	}
	for n := 1; n <= maxBatch; n++ {
		for range 5 {
			for i := range n {
				u.write(a, want[i:i+1])
			}
			if got := u.run(); len(got) != n || slices.ContainsFunc(got, func(r int32) bool { return r != 1 }) {
				t.Fatalf("%d writes: %d", n, got)
			}
			in := inHeap(n)
			for i := range n {
				u.read(b, in[i:i+1])
			}
			if u.run(); !bytes.Equal(in, want[:n]) {
				t.Fatalf("read %v, want %v", in, want[:n])
			}
		}
	}
}
