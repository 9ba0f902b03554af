package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ringway/internal/redistest"
	"ringway/server"
)

// stuckWriter is the answer to a client that does not read.
type stuckWriter struct {
	discarded
	writing chan struct{} // closed when the answer is being written
	release chan struct{}
}

func (w *stuckWriter) Write(b []byte) (int, error) {
	close(w.writing)
	<-w.release
	return len(b), nil
}

// newTestScrapes returns a handler of figures.
func newTestScrapes(figures func() *server.Figures) *scrapes {
	a := &Admin{}
	return newScrapes(func(native bool) prometheus.Gatherer { return &gatherer{a, figures, prometheus.NewRegistry(), native} })
}

func TestAScraperThatDoesNotReadHoldsUpNobody(t *testing.T) {
	t.Parallel()
	f := busyFigures(1, 1)
	s := newTestScrapes(func() *server.Figures { return f })
	stuck := &stuckWriter{discarded{header: http.Header{}}, make(chan struct{}), make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		s.ServeHTTP(stuck, httptest.NewRequest("GET", "/metrics", nil))
		close(ended)
	}()
	<-stuck.writing
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if answer.Code != 200 || answer.Body.Len() == 0 {
		t.Errorf("%d, %d bytes", answer.Code, answer.Body.Len())
	}
	close(stuck.release)
	<-ended
}

// noting is a context that counts those who begin to wait with it.
type noting struct {
	context.Context
	waiting *atomic.Int32
}

func (n noting) Done() <-chan struct{} {
	n.waiting.Add(1)
	return n.Context.Done()
}

// Those who ask while an answer is made share the next one. One who asks in another form gets that form.
func TestScrapersShareAnAnswer(t *testing.T) {
	t.Parallel()
	f := busyFigures(1, 1)
	var made atomic.Int32
	making, release := make(chan struct{}, 100), make(chan struct{})
	s := newTestScrapes(func() *server.Figures {
		made.Add(1)
		making <- struct{}{}
		<-release
		return f
	})
	var scrapers sync.WaitGroup
	var waiting atomic.Int32
	scrape := func(accept string) {
		r, answer := httptest.NewRequest("GET", "/metrics", nil), httptest.NewRecorder()
		r.Header.Set("Accept", accept)
		s.ServeHTTP(answer, r.WithContext(noting{r.Context(), &waiting}))
		if got := answer.Header().Get("Content-Type"); answer.Code != 200 || got[:10] != accept[:10] {
			t.Errorf("%d, %q in place of %q", answer.Code, got, accept)
		}
	}
	scrapers.Go(func() { scrape("text/plain;version=0.0.4") })
	<-making
	for range 30 {
		scrapers.Go(func() { scrape("text/plain;version=0.0.4") })
	}
	redistest.Eventually(t, 10*time.Second, "all to wait", func() bool { return waiting.Load() == 31 })
	close(release)
	scrapers.Wait()
	if n := made.Load(); n != 2 {
		t.Errorf("%d answers were made for 31 scrapers, want the first and one for all others", n)
	}
	scrape("application/openmetrics-text;version=1.0.0")
}
