package hatest

import (
	"testing"
	"time"

	"ringway/internal/redistest"
)

// Through a pool of standalone servers, without a fault, what clients share is
// linearizable and nothing fails.
func TestStaticPoolIsLinearizable(t *testing.T) {
	t.Parallel()
	p := Serve(t, `hash_tag = "{}"`, Servers(redistest.StartN(t, 3)...))
	for _, load := range []Load{{Clients: 8}, {Clients: 8, Depth: 16}} {
		r := load.Start(t, p.Addr)
		r.Progress(int(Long(time.Second)/time.Millisecond)/2, patience)
		if report := r.Finish(); report.Failed() > 0 || report.Unchecked > 0 {
			t.Error("requests failed, or histories were not checked")
		}
	}
}

// A killed server's requests fail or have an unknown outcome, and what clients see
// is explained by that: nothing is executed twice, and an error that says that a
// request was not sent is right.
func TestStaticPoolTellsTheTruthWhenAServerIsKilled(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	p := Serve(t, `hash_tag = "{}"`, Servers(servers...))
	r := Load{Clients: 8, Depth: 8, Lossy: true, Pause: time.Millisecond}.Start(t, p.Addr)
	for range 3 {
		r.Progress(50, patience)
		servers[0].Restart()
	}
	r.Progress(50, patience)
	r.Finish()
}

// patience is how long a test waits for what takes a moment.
const patience = 2 * time.Minute
