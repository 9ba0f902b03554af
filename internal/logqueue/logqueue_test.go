package logqueue

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// patience is how long a test waits for what takes a moment.
const patience = 30 * time.Second

// sink is what a log goes to. It takes a write when it is let.
type sink struct {
	enter chan struct{} // given an element when a write has begun; there is room for all of a test
	leave chan error    // gives what the write returns; closed for nil, always

	mu      sync.Mutex
	written bytes.Buffer
}

func newSink() *sink {
	return &sink{enter: make(chan struct{}, 10000), leave: make(chan error)}
}

func (s *sink) Write(b []byte) (int, error) {
	s.enter <- struct{}{}
	if err := <-s.leave; err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.Write(b)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.String()
}

func lost(lines int64) []byte { return fmt.Appendf(nil, "lost %d\n", lines) }

func write(t *testing.T, q *Queue, text string) {
	t.Helper()
	if n, err := q.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("Write of %d bytes returned %d, %v", len(text), n, err)
	}
}

func closed(t *testing.T, q *Queue) {
	t.Helper()
	if !q.Close(patience) {
		t.Fatal("not everything was written at the end")
	}
}

func TestLinesAreWrittenInOrder(t *testing.T) {
	s := newSink()
	close(s.leave)
	q := New(s, 1<<20, lost)
	want := ""
	for i := range 1000 {
		line := fmt.Sprintf("line %d\n", i)
		want += line
		write(t, q, line)
	}
	closed(t, q)
	if got := s.String(); got != want {
		t.Errorf("written: %q", got)
	}
}

// Writing never waits, what does not fit is dropped and counted, and nothing that
// comes later stands before the line that says so.
func TestStalledLogDropsAndCounts(t *testing.T) {
	s := newSink()
	q := New(s, 20, lost)
	write(t, q, "first\n")
	<-s.enter // it is being written, and stalls
	write(t, q, "second\n")
	write(t, q, "a line too long for the queue\n")
	write(t, q, "two\nlines\n")
	write(t, q, "x\n")
	for range 1000 {
		write(t, q, "y\n")
	}
	close(s.leave)
	redistest.Eventually(t, patience, "a line that says what was lost", func() bool { return strings.Contains(s.String(), "lost") })
	write(t, q, "last\n")
	closed(t, q)
	if got, want := s.String(), "first\nsecond\nlost 1004\nlast\n"; got != want {
		t.Errorf("written: %q, want %q", got, want)
	}
}

// A full disk may have room again.
func TestFailedWritesAreCounted(t *testing.T) {
	s := newSink()
	q := New(s, 1000, lost)
	write(t, q, "one\ntwo\n")
	<-s.enter
	s.leave <- errors.New("no space left")
	<-s.enter // the line that says so
	s.leave <- errors.New("no space left")
	close(s.leave)
	write(t, q, "three\n")
	closed(t, q)
	if got, want := s.String(), "lost 2\nthree\n"; got != want {
		t.Errorf("written: %q, want %q", got, want)
	}
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	s := newSink()
	q := New(s, 1000, lost)
	write(t, q, "one\n")
	if q.Close(time.Millisecond) {
		t.Error("Close says that a stalled log is written")
	}
	write(t, q, "dropped\n")
	close(s.leave)
	closed(t, q)
	if got, want := s.String(), "one\nlost 1\n"; got != want && got != "one\n" {
		t.Errorf("written: %q, want %q", got, want)
	}
}

func TestManyWriters(t *testing.T) {
	s := newSink()
	close(s.leave)
	q := New(s, 1<<20, lost)
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 200 {
				write(t, q, fmt.Sprintf("writer %d line %d\n", w, i))
			}
		})
	}
	writers.Wait()
	closed(t, q)
	next := [8]int{}
	for line := range strings.Lines(s.String()) {
		var w, i int
		if _, err := fmt.Sscanf(line, "writer %d line %d\n", &w, &i); err != nil || i != next[w] {
			t.Fatalf("line %q, want number %d of its writer", line, next[w])
		}
		next[w]++
	}
	if next != [8]int{200, 200, 200, 200, 200, 200, 200, 200} {
		t.Errorf("lines of each writer: %v, want 200", next)
	}
}
