package admin

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Bounds on those who watch the page.
const (
	maxWatchers   = 32               // at once; each holds a seat of the address
	watcherBehind = 3                // events that wait for a watcher; one that has more is dropped
	watcherWrite  = 10 * time.Second // for one event
)

// watchers hands each event to all who watch. Its zero value is ready. Any goroutine may use it.
type watchers struct {
	mu     sync.Mutex
	queues map[chan []byte]struct{} // closed and removed when its watcher is dropped; guarded by mu
}

// join returns the queue of a new watcher, or nil if there are too many.
func (w *watchers) join() chan []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queues) >= maxWatchers {
		return nil
	}
	if w.queues == nil {
		w.queues = map[chan []byte]struct{}{}
	}
	q := make(chan []byte, watcherBehind)
	w.queues[q] = struct{}{}
	return q
}

func (w *watchers) leave(q chan []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.queues, q)
}

// any reports whether anybody watches.
func (w *watchers) any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queues) > 0
}

// tell gives an event to all watchers. It drops those that are too far behind, and never waits.
func (w *watchers) tell(event []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for q := range w.queues {
		select {
		case q <- event:
		default:
			close(q)
			delete(w.queues, q)
		}
	}
}

// events sends the page what it shows, as server-sent events: "history" once, then "now" with every
// sample.
func (a *Admin) events(w http.ResponseWriter, r *http.Request) {
	q := a.watchers.join()
	if q == nil {
		http.Error(w, fmt.Sprintf("%d pages are open: close one", maxWatchers), http.StatusServiceUnavailable)
		return
	}
	defer a.watchers.leave(q)
	out := http.NewResponseController(w)
	out.SetReadDeadline(time.Time{}) // the server's bounds a request, and this one is read
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	send := func(event []byte) bool {
		out.SetWriteDeadline(time.Now().Add(watcherWrite))
		_, err := w.Write(event)
		return err == nil && out.Flush() == nil
	}
	if !send(a.firstEvents()) {
		return
	}
	for {
		select {
		case event, ok := <-q:
			if !ok || !send(event) {
				return
			}
		case <-r.Context().Done():
			return
		case <-a.stop:
			return
		}
	}
}
