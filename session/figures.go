package session

import (
	"time"

	"ringway/pipeline"
	"ringway/pool"
	"ringway/stats"
)

// countAnswer counts a request that the proxy answers at once with b.
func (s *session) countAnswer(b []byte) {
	if s.stats == nil {
		return
	}
	s.stats.Replied(s.lastCommand, s.arrived, stats.Time(s.w.loop.Now()))
	s.sampleAnswer(len(b))
	if b[0] == '-' {
		s.countError(s.lastCommand, b)
	}
}

// countError counts an error reply, which begins with b.
func (sh *shared) countError(command uint16, b []byte) {
	if sh.stats != nil {
		sh.stats.Command(command).Errors++
		sh.stats.Requests.Errors[stats.ErrorCode(b)]++
	}
}

// failureReply returns the reply to a request that no server has answered, and counts it. The
// reply is valid until the next one.
func (sh *shared) failureReply(f *pipeline.Failure) []byte {
	sh.countFailure(f)
	return f.AppendReply(sh.w.failure[:0])
}

// countFailure counts a request that no server has answered.
func (sh *shared) countFailure(f *pipeline.Failure) {
	if sh.stats != nil {
		sh.stats.Requests.Failures[f.Reason()]++
	}
}

// PoolFigures is what one loop knows of one pool.
type PoolFigures struct {
	Counts  stats.Pool
	Servers []pool.ServerFigures

	Topology pool.TopologyCounts

	SubscriptionsLost int64 // by all loops: see pubsub.Pool.Lost
}

// Figures returns what the worker has counted of each pool, in the order of the configuration.
func (w *Worker) Figures() []PoolFigures {
	figures := make([]PoolFigures, len(w.pools))
	for i, sh := range w.pools {
		if sh == nil {
			continue // the pool is gone
		}
		if sh.stats != nil {
			figures[i].Counts.Merge(sh.stats)
		}
		figures[i].Servers = sh.local.Figures()
		figures[i].Topology = sh.local.TopologyCounts()
		figures[i].SubscriptionsLost = sh.subscriptions.Lost()
	}
	return figures
}

// LongTurns returns how many turns of the worker's loop have been long (eventloop.LongTurn), and
// the longest of them. Any goroutine may call it.
func (w *Worker) LongTurns() (count int64, longest time.Duration) {
	return w.long.count.Load(), time.Duration(w.long.longest.Load())
}
