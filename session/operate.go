package session

import (
	"slices"

	"ringway/pool"
	"ringway/stats"
)

// Kill closes the client with the given id, for an operator. It reports whether the worker has it.
func (w *Worker) Kill(id uint64) bool {
	for _, s := range w.sessions {
		if s.info.id == id {
			s.closeFor(stats.ClosedKilled)
			return true
		}
	}
	return false
}

// ClientLines calls done with a line for each client, at most limit, as CLIENT LIST has them, behind
// the name of its pool. It does so in portions, over several turns.
func (w *Worker) ClientLines(limit int, done func(lines []string)) {
	var lines []string
	w.survey(slices.Clone(w.sessions[:min(limit, len(w.sessions))]), func(some []*session) string {
		for _, s := range some {
			lines = append(lines, "pool="+s.poolName+" "+s.describe(0))
		}
		return ""
	}, func([]string) { done(lines) })
}

// Reconnect is pool.Local's, for a pool, which is an index in the configuration.
func (w *Worker) Reconnect(index int, addr string, done func(n int)) {
	if sh := w.pool(index); sh != nil {
		sh.local.Reconnect(addr, done)
		return
	}
	done(0)
}

// ShardPhases is pool.Local's, for a pool, which is an index in the configuration.
func (w *Worker) ShardPhases(index int) []pool.ShardPhase {
	if sh := w.pool(index); sh != nil {
		return sh.local.ShardPhases()
	}
	return nil
}
