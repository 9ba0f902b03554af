package hatest

import (
	"testing"
	"time"

	"ringway/internal/redistest"
)

// Through a pool of standalone servers without faults, operations on shared keys are
// linearizable and no request fails.
func TestStaticPoolIsLinearizable(t *testing.T) {
	t.Parallel()
	p := Serve(t, `hash_tag = "{}"`, Servers(redistest.StartN(t, 3)...))
	for _, load := range []Load{{Clients: 8}, {Clients: 8, Depth: 16}} {
		r := load.Start(t, p.Addr)
		r.Progress(int(Long(time.Second)/time.Millisecond)/2, waitLimit)
		if report := r.Finish(); report.Failed() > 0 || report.Unchecked > 0 {
			t.Error("requests failed, or histories were not checked")
		}
	}
}

// Requests to a killed server fail or have an unknown outcome. Nothing is executed twice,
// and no request was executed whose error says that it was not sent.
func TestStaticPoolReportsRightOutcomesWhenAServerIsKilled(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	p := Serve(t, `hash_tag = "{}"`, Servers(servers...))
	r := Load{Clients: 8, Depth: 8, Lossy: true, Pause: time.Millisecond}.Start(t, p.Addr)
	for range 3 {
		r.Progress(50, waitLimit)
		servers[0].Restart()
	}
	r.Progress(50, waitLimit)
	r.Finish()
}

// waitLimit bounds a test's waits for what usually takes a moment.
const waitLimit = 2 * time.Minute
