package pool

import "ringway/eventloop"

// Abandon is eventloop.Abandoner's, for the Receiver of the request.
func (rt *retry) Abandon() { abandon(rt.to) }

// Abandon is eventloop.Abandoner's, for the Receiver of the read.
func (h *hedge) Abandon() { abandon(h.to) }

// Abandon is eventloop.Abandoner's: what is parked here waits for the next tick.
func (sh *localShard) Abandon() {
	if len(sh.scriptRetries) > 0 {
		sh.scriptTimer.After(retryEvery)
	}
	sh.timer.After(retryEvery)
}

// Abandon is eventloop.Abandoner's: the reads behind the one that panicked get their turn
// after a while.
func (h *hedges) Abandon() { h.timer.After(retryEvery) }

func abandon(to any) {
	if a, ok := to.(eventloop.Abandoner); ok {
		a.Abandon()
	}
}
