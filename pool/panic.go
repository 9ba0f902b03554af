package pool

import "ringway/eventloop"

// Abandon is eventloop.Abandoner's, for whom the retry is run.
func (e *retry) Abandon() { abandon(e.to) }

// Abandon is eventloop.Abandoner's, for whom the read is made.
func (h *hedge) Abandon() { abandon(h.to) }

// Abandon is eventloop.Abandoner's: what waits here goes on waiting for a tick.
func (sh *localShard) Abandon() {
	if len(sh.retries) > 0 {
		sh.retryTimer.After(retryEvery)
	}
	sh.timer.After(retryEvery)
}

// Abandon is eventloop.Abandoner's: reads behind the one that made it panic may be
// sent again after a while.
func (h *hedges) Abandon() { h.timer.After(retryEvery) }

func abandon(to any) {
	if a, ok := to.(eventloop.Abandoner); ok {
		a.Abandon()
	}
}
