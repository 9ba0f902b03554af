package bench

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"time"
)

// The memory scenarios put a target under stress instead of a load, and measure its
// resident memory meanwhile and afterwards.
const (
	scenarioIdle   = "idle"   // Workload.Clients connections that asked once and stay
	scenarioBurst  = "burst"  // 200,000 SETs sent before the first reply is read
	scenarioUnread = "unread" // 300 MB of replies asked for and not read
)

const (
	burstSets   = 200_000
	unreadBytes = 300_000_000
	unreadValue = 256 << 10
	// settleLimit is how long memory may take to fall.
	settleLimit = 10 * time.Second
	// settleEnough is the memory, in bytes, below which no further fall is awaited.
	settleEnough = 64 << 20
	// stressLimit bounds the stress itself.
	stressLimit = 30 * time.Second
	// pollEvery is how often memory is read.
	pollEvery = 100 * time.Millisecond
)

// runScenario carries out the scenario of w on t.
func runScenario(ctx context.Context, w Workload, t *Target) (*outcome, Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, stressLimit+settleLimit)
	defer cancel()
	scenarios := map[string]func(context.Context, Workload, *Target) (float64, error){
		scenarioIdle: stressIdle, scenarioBurst: stressBurst, scenarioUnread: stressUnread,
	}
	stress, ok := scenarios[w.Scenario]
	if !ok {
		return nil, Sample{}, fmt.Errorf("%w %s: no scenario %q", ErrWorkload, w.Name, w.Scenario)
	}
	t.resetPeak()
	perClient, err := stress(ctx, w, t)
	if err != nil {
		return nil, Sample{}, err
	}
	s := Sample{PerIdle: perClient, PeakRSS: float64(t.memory().Peak)}
	pause := pauser(ctx)
	for end := time.Now().Add(settleLimit); time.Now().Before(end) && t.memory().Now > settleEnough; {
		pause(pollEvery)
	}
	s.SettledRSS = float64(t.memory().Now)
	return &outcome{}, s, nil
}

// stressIdle connects clients, has each ask once, and returns the bytes of
// resident memory for each idle client.
func stressIdle(ctx context.Context, w Workload, t *Target) (float64, error) {
	conns := make([]net.Conn, 0, w.Clients)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	before := t.memory().Now
	reply := make([]byte, 16)
	for i := range w.Clients {
		c, err := t.dial(ctx)
		if err != nil {
			return 0, fmt.Errorf("client %d of %d: %w", i+1, w.Clients, err)
		}
		conns = append(conns, c)
		_ = c.SetDeadline(time.Now().Add(dialTimeout))
		if _, err := c.Write([]byte("*2\r\n$3\r\nGET\r\n$11\r\nbench:ready\r\n")); err != nil {
			return 0, fmt.Errorf("client %d of %d: %w", i+1, w.Clients, err)
		}
		if _, err := c.Read(reply); err != nil {
			return 0, fmt.Errorf("client %d of %d: %w", i+1, w.Clients, err)
		}
	}
	pauser(ctx)(10 * pollEvery)
	return float64(t.memory().Now-before) / float64(w.Clients), ctx.Err()
}

// stressBurst sends its SETs and reads replies only once all are sent or the
// target takes no more of them.
func stressBurst(ctx context.Context, w Workload, t *Target) (float64, error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(stressLimit))
	sent := make(chan error, 1)
	go func() { sent <- sendBurst(conn, w) }()
	held := time.NewTimer(time.Second) // by then a target that pushes back has stopped reading
	defer held.Stop()
	select {
	case err := <-sent:
		if err != nil {
			return 0, err
		}
	case <-held.C: // the sender ends with the connection
	}
	replies := bufio.NewReader(conn)
	for i := range burstSets {
		if err := expectOK(replies); err != nil {
			return 0, fmt.Errorf("reply %d of %d: %w", i+1, burstSets, err)
		}
	}
	return 0, nil
}

// sendBurst writes all SETs of the burst.
func sendBurst(conn net.Conn, w Workload) error {
	w = w.withDefaults()
	enc, buf := newEncoder(w), bufio.NewWriterSize(conn, 1<<16)
	var req []byte
	for i := range burstSets {
		req = enc.appendRequest(req[:0], OpSet, []uint32{uint32(keyNumber(i % w.Keys))})
		if _, err := buf.Write(req); err != nil {
			return err
		}
	}
	return buf.Flush()
}

// stressUnread asks for large values and leaves without having read them,
// once the target's memory has stopped growing.
func stressUnread(ctx context.Context, w Workload, t *Target) (float64, error) {
	w.Value, w.Keys = unreadValue, 1
	w = w.withDefaults()
	if err := populateTarget(ctx, w, t); err != nil {
		return 0, err
	}
	conn, err := t.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(stressLimit))
	enc := newEncoder(w)
	var out []byte
	for range unreadBytes / unreadValue {
		out = enc.appendRequest(out, OpGet, []uint32{0})
	}
	if _, err := conn.Write(out); err != nil {
		return 0, err
	}
	pause := pauser(ctx)
	for grown, still := int64(0), 0; still < 15 && ctx.Err() == nil; still++ {
		pause(pollEvery)
		if rss := t.memory().Now; rss > grown {
			grown, still = rss, 0
		}
	}
	return 0, ctx.Err()
}
