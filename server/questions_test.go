package server

import (
	"sync"
	"sync/atomic"
	"testing"

	"ringway/eventloop"
)

// A loop that is stuck while it is asked over and over has nothing of that to do later.
func TestAStuckLoopGathersNoQuestions(t *testing.T) {
	t.Parallel()
	own, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	srv := &Server{loops: []*loop{{Loop: own}}} // it does not run yet
	var answered atomic.Int32
	ask := func() []int32 { return eachLoop(srv, func(*loop) int32 { return answered.Add(1) }) }
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			if told := ask(); len(told) > 0 {
				t.Errorf("a stuck loop said %v", told)
			}
		})
	}
	asking.Wait()
	ended := make(chan struct{})
	go func() { own.Run(); close(ended) }()
	if told := ask(); len(told) != 1 || told[0] != 1 {
		t.Errorf("once the loop runs: %v, want the first answer", told)
	}
	own.Stop()
	<-ended
}
