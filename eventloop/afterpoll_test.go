package eventloop

import (
	"runtime"
	"testing"
	"time"
)

// What a connection had received is handled first, though the loop's events are older and more
// connections are ready than one poll returns.
func TestAfterPollComesBehindWhatWasReceived(t *testing.T) {
	l := startLoop(t)
	recorders := make([]*recorder, maxEvents+20)
	for i := range recorders {
		recorders[i] = newRecorderFor(16)
	}
	peers := attachAll(t, l, recorders)
	for range 3 {
		stopped, until, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
		l.Post(func() { close(stopped); <-until })
		<-stopped
		for _, peer := range peers {
			peer.Write([]byte("x"))
		}
		if l.Quiet() {
			t.Error("quiet while it is busy")
		}
		l.AfterPoll(func() { close(done) })
		close(until)
		receive(t, done, "call")
		for i, r := range recorders {
			if len(r.data) == 0 {
				t.Fatalf("connection %d was not read", i)
			}
			<-r.data
		}
	}
}

// A loop becomes quiet when it has nothing to do, and is not quiet while it has.
func TestQuiet(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it is not known there")
	}
	l, r := startLoop(t), newRecorder()
	peer := attach(t, l, r)
	for range 20 {
		for end := time.Now().Add(10 * time.Second); !l.Quiet(); runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatal("never quiet")
			}
		}
		peer.Write([]byte("x"))
		for end := time.Now().Add(10 * time.Second); !l.Quiet(); runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatal("never quiet again")
			}
		}
		if len(r.data) == 0 {
			t.Fatal("quiet while it had bytes to read")
		}
		<-r.data
	}
}
