package admin

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"ringway/server"
	"ringway/stats"
)

// gatherer is the prometheus.Gatherer of what /metrics shows. The proxy's own metrics do not go through
// a prometheus.Registry: what it checks of each series is known here, and with hundreds of servers its
// checks and its sorting are a large part of a scrape's work.
type gatherer struct {
	a       *Admin
	figures func() *server.Figures
	others  *prometheus.Registry // the metrics of Go and of the process
	native  bool                 // with native histograms
}

// metrics returns the handler of /metrics.
func (a *Admin) metrics() http.Handler {
	others := prometheus.NewRegistry()
	others.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	return newScrapes(func(native bool) prometheus.Gatherer { return &gatherer{a, a.srv.Figures, others, native} })
}

// Gather implements prometheus.Gatherer: families sorted by name, their series in the order of the
// configuration.
func (g *gatherer) Gather() ([]*dto.MetricFamily, error) {
	s := scrape{families: make([]dto.MetricFamily, len(allMetrics)), native: g.native}
	s.proxy(g.a, g.figures())
	families, err := g.others.Gather()
	for i, m := range allMetrics {
		if f := &s.families[i]; len(f.Metric) > 0 {
			f.Name, f.Help, f.Type = &m.name, &m.help, &m.kind
			families = append(families, f)
		}
	}
	slices.SortFunc(families, func(x, y *dto.MetricFamily) int { return cmp.Compare(*x.Name, *y.Name) })
	return families, err
}

// scrape is the proxy's metrics of one scrape.
type scrape struct {
	families []dto.MetricFamily // of each metric, by its index
	native   bool               // with native histograms

	metrics    slab[dto.Metric]
	counters   slab[counterValue]
	gauges     slab[gaugeValue]
	histograms slab[histogramValue]
}

// The values of series, each with what it points to.
type (
	counterValue struct {
		message dto.Counter
		value   float64
	}
	gaugeValue struct {
		message dto.Gauge
		value   float64
	}
)

// slab hands out zero values, of which it allocates many at once.
type slab[T any] []T

func (s *slab[T]) next() *T {
	if len(*s) == 0 {
		*s = make([]T, 128)
	}
	v := &(*s)[0]
	*s = (*s)[1:]
	return v
}

// label returns a label of a series.
func label(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

// series adds a series to a metric. The labels are in the order of their names, and their number is that
// of m.labels; no two series of a metric have the same.
func (s *scrape) series(m *metric, labels []*dto.LabelPair) *dto.Metric {
	to := s.metrics.next()
	to.Label = labels
	f := &s.families[m.index]
	f.Metric = append(f.Metric, to)
	return to
}

// send adds a value of a counter or a gauge.
func (s *scrape) send(m *metric, value float64, labels ...*dto.LabelPair) {
	to := s.series(m, labels)
	if m.kind == dto.MetricType_COUNTER {
		v := s.counters.next()
		v.value, v.message.Value = value, &v.value
		to.Counter = &v.message
		return
	}
	v := s.gauges.next()
	v.value, v.message.Value = value, &v.value
	to.Gauge = &v.message
}

// observe adds a histogram.
func (s *scrape) observe(m *metric, h *stats.Histogram, labels ...*dto.LabelPair) {
	v := s.histograms.next()
	v.fill(h, m)
	if s.native {
		v.fillNative(h)
	}
	s.series(m, labels).Histogram = &v.message
}
