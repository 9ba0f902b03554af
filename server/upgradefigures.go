package server

import (
	"encoding/json"
	"sync/atomic"

	"ringway/handover"
)

// UpgradeFigures is what upgrades have made of clients.
type UpgradeFigures struct {
	Failed   uint64 // upgrades that this process has begun and that failed
	Received uint64 // clients that the process had handed over whose place this one took
	Drained  uint64 // clients that it has kept, and closed at its end
	Given    uint64 // clients that this process has handed over to one that takes its place
	Lost     uint64 // clients that were handed over to one that has ended
}

// upgradeCounts counts UpgradeFigures. Any goroutine may use it.
type upgradeCounts struct{ failed, received, drained, given, lost atomic.Uint64 }

// figures returns what was counted.
func (u *upgradeCounts) figures() UpgradeFigures {
	return UpgradeFigures{Failed: u.failed.Load(), Received: u.received.Load(), Drained: u.drained.Load(), Given: u.given.Load(), Lost: u.lost.Load()}
}

// ended notes the last message of the old process.
func (u *upgradeCounts) ended(body []byte) {
	var end handover.Ending
	if json.Unmarshal(body, &end) == nil { // earlier versions say nothing
		u.drained.Store(uint64(max(0, end.Left)))
	}
}

// UpgradeFailed counts an upgrade that failed before HandOver. Any goroutine may call it.
func (srv *Server) UpgradeFailed() { srv.upgrades.failed.Add(1) }
