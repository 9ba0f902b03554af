package topology

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"ringway/pool"
)

// A Prober serves static pools: it probes servers that are down, restores those that answer,
// and ejects those that are loading. It is a pool.Watcher. Make it with NewProber; Stop ends
// its goroutines. Its methods may be called from any goroutine.
type Prober struct {
	// Static after construction.
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc

	wg sync.WaitGroup // of all goroutines, a Watcher's included

	mu         sync.Mutex          // guards loadChecks, and starting goroutines against Stop
	loadChecks map[poolServer]bool // servers that are being asked whether they are loading
}

// poolServer identifies a server of a static pool.
type poolServer struct {
	pool   *pool.Pool
	server int
}

// NewProber returns a Prober that does nothing yet. It logs why a server stays down at debug
// level.
func NewProber(log *slog.Logger) *Prober { return newProber(context.Background(), log) }

func newProber(parent context.Context, log *slog.Logger) *Prober {
	ctx, cancel := context.WithCancel(parent)
	return &Prober{log: log, ctx: ctx, cancel: cancel, loadChecks: map[poolServer]bool{}}
}

// Stop ends all goroutines, attempts to connect and reads included, and waits for them.
func (pr *Prober) Stop() {
	pr.mu.Lock()
	pr.cancel() // under mu: who calls start sees it, or is waited for
	pr.mu.Unlock()
	pr.wg.Wait()
}

// start runs fn on a goroutine that Stop waits for; after Stop it does nothing.
func (pr *Prober) start(fn func()) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.ctx.Err() == nil {
		pr.wg.Go(fn)
	}
}

// sleep waits for d. It reports false if the Prober was stopped meanwhile.
func (pr *Prober) sleep(d time.Duration) bool { return sleep(pr.ctx, d, nil, nil) }

// supervise is supervise for a goroutine that watches one pool.
func (pr *Prober) supervise(p *pool.Pool, what string, work func()) {
	supervise(pr.ctx, pr.log.With("pool", p.Conf().Name), what, work)
}
