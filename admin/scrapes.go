package admin

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapes is the handler of /metrics. An answer is made one at a time, and handed to all who ask for the
// same while it waits to be made: a storm of scrapes keeps one processor busy at most. A scraper that
// reads slowly holds nothing but its own connection.
type scrapes struct {
	classic, both http.Handler  // the text formats have no native histograms
	turn          chan struct{} // holds one value, which whoever makes an answer takes
	last          *answer       // guarded by turn
}

// answer is a scrape that was made.
type answer struct {
	begun  time.Time
	asked  negotiation
	status int
	header http.Header
	body   bytes.Buffer
}

// negotiation is what the answer depends on.
type negotiation struct {
	accept, query string
	gzip          bool
}

// newScrapes returns a handler. gather returns the gatherer with or without native histograms.
func newScrapes(gather func(native bool) prometheus.Gatherer) *scrapes {
	opts := promhttp.HandlerOpts{EnableOpenMetrics: true, DisableCompression: true}
	s := &scrapes{classic: promhttp.HandlerFor(gather(false), opts), both: promhttp.HandlerFor(gather(true), opts), turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

// ServeHTTP implements http.Handler.
func (s *scrapes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	came := time.Now()
	select {
	case <-s.turn:
	case <-r.Context().Done():
		return
	}
	asked := negotiation{r.Header.Get("Accept"), r.URL.RawQuery, takesGzip(r)}
	of := s.last
	if of == nil || of.asked != asked || of.begun.Before(came) {
		of = s.make(r, asked)
		s.last = of
	}
	s.turn <- struct{}{}

	for name, values := range of.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(of.body.Len()))
	w.WriteHeader(of.status)
	w.Write(of.body.Bytes())
}

// make makes an answer. The caller holds turn.
func (s *scrapes) make(r *http.Request, asked negotiation) *answer {
	of := &answer{begun: time.Now(), asked: asked, status: http.StatusOK, header: http.Header{}}
	if s.last != nil {
		of.body.Grow(s.last.body.Len() + s.last.body.Len()/8)
	}
	h := s.classic
	if strings.Contains(asked.accept, "application/vnd.google.protobuf") {
		h = s.both
	}
	to := recorder{of: of, to: &of.body}
	if asked.gzip {
		// The fastest level: text that repeats itself so much becomes hardly smaller with others.
		z, _ := gzip.NewWriterLevel(&of.body, gzip.BestSpeed)
		defer z.Close()
		to.to = z
		of.header.Set("Content-Encoding", "gzip")
	}
	h.ServeHTTP(to, r)
	of.header.Add("Vary", "Accept-Encoding")
	return of
}

// recorder is where promhttp writes an answer: the body to another writer.
type recorder struct {
	of *answer
	to io.Writer
}

func (r recorder) Header() http.Header         { return r.of.header }
func (r recorder) WriteHeader(status int)      { r.of.status = status }
func (r recorder) Write(b []byte) (int, error) { return r.to.Write(b) }

// takesGzip reports whether the client takes what is compressed with gzip.
func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(part, ";")
		if strings.TrimSpace(name) == "gzip" && strings.TrimSpace(weight) != "q=0" {
			return true
		}
	}
	return false
}
