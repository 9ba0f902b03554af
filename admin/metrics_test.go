package admin

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"

	"ringway/pool"
	"ringway/server"
	"ringway/stats"
)

// The table of docs/observing.md has every metric, in the order of allMetrics.
func TestTheDocumentHasEveryMetric(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/observing.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range allMetrics {
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", m.name, labels, strings.TrimSuffix(m.help, ".")))
	}
	got := regexp.MustCompile("(?m)^\\| `ringway_.*$").FindAllString(string(text), -1)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("the table differs at row %d; it should be\n%s", i+1, strings.Join(want, "\n"))
		}
	}
}

// busyFigures returns the figures of a proxy all of whose servers are in use.
func busyFigures(pools, servers int) *server.Figures {
	f := &server.Figures{At: time.Now(), Loops: make([]server.LoopFigures, 4)}
	f.Process.Started = time.Now().Add(-time.Hour)
	for i := range pools {
		p := server.PoolFigures{Name: fmt.Sprint("pool", i), Counts: stats.Pool{Commands: make([]*stats.Command, 40)}}
		for c := range p.Counts.Commands {
			p.Counts.Commands[c] = &stats.Command{Latency: spread()}
		}
		for j := range servers {
			name := fmt.Sprintf("10.0.%d.%d:6379", i, j)
			s := server.ServerFigures{ServerState: pool.ServerState{Name: name, Addr: name, Shard: name, Role: "primary", Up: true}}
			s.Counts.Latency = spread()
			p.Servers = append(p.Servers, s)
		}
		f.Pools = append(f.Pools, p)
	}
	return f
}

// spread returns a histogram of latencies between 100 µs and 100 ms.
func spread() (h stats.Histogram) {
	for v := uint32(100); v < 100_000; v += v / 16 {
		h.Add(v, 7)
	}
	return h
}

// BenchmarkScrape is one scrape of 10 pools with 50 servers and 40 commands each, all of which are
// in use. It reports the processor time of a scrape, with that of the garbage collector, which shall be
// 20 ms at most.
func BenchmarkScrape(b *testing.B) {
	f := busyFigures(10, 50)
	a := &Admin{version: "test"}
	h := newScrapes(func(native bool) prometheus.Gatherer {
		return &gatherer{a, func() *server.Figures { return f }, prometheus.NewRegistry(), native}
	})
	for _, format := range []struct{ name, encoding, accept string }{
		{"text", "", ""},
		{"openmetrics", "", "application/openmetrics-text;version=1.0.0"},
		{"gzip", "gzip", "application/openmetrics-text;version=1.0.0"},
		{"protobuf", "", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"},
	} {
		b.Run(format.name, func(b *testing.B) {
			before := processorTime()
			for b.Loop() {
				request := httptest.NewRequest("GET", "/metrics", nil)
				request.Header.Set("Accept-Encoding", format.encoding)
				request.Header.Set("Accept", format.accept)
				answer := &discarded{header: http.Header{}}
				h.ServeHTTP(answer, request)
				b.ReportMetric(float64(answer.size), "bytes")
			}
			b.ReportMetric((processorTime()-before).Seconds()*1e3/float64(b.N), "cpu-ms/op")
		})
	}
}

// discarded is an answer of which only the size is kept.
type discarded struct {
	header http.Header
	size   int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(int)             {}
func (d *discarded) Write(b []byte) (int, error) { d.size += len(b); return len(b), nil }

// processorTime returns what the process has used so far.
func processorTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Both forms of a histogram say what client_golang's own would say.
func TestHistogramsHaveBothForms(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]stats.Histogram{"empty": {}, "spread": spread(), "gaps": gaps()} {
		classic, native, count, below := map[float64]uint64{}, map[int]int64{}, uint64(0), uint64(0)
		for i, n := range h.Counts {
			low, high := stats.Bounds(i)
			for _, bound := range classicBounds {
				if (low+high)/2 <= bound {
					classic[bound] += n
				}
			}
			count += n
			if i == 0 {
				below = n
			} else if n > 0 {
				native[int(placements[i].native)] += int64(n)
			}
		}
		desc := prometheus.NewDesc("x", "x", nil, nil)
		var wantClassic, wantNative dto.Metric
		if err := errors.Join(
			prometheus.MustNewConstHistogram(desc, count, h.Seconds(), classic).Write(&wantClassic),
			prometheus.MustNewConstNativeHistogram(desc, count, h.Seconds(), native, nil, below, nativeSchema, zeroThreshold, time.Time{}).Write(&wantNative),
		); err != nil {
			t.Fatal(err)
		}
		var got histogramValue
		got.fill(&h, requestDuration)
		got.fillNative(&h)
		if got, want := got.message.Bucket, wantClassic.Histogram.Bucket; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: classic %v, want %v", name, got, want)
		}
		if got, want := decoded(&got.message), decoded(wantNative.Histogram); !maps.Equal(got, want) {
			t.Errorf("%s: native %v, want %v", name, got, want)
		}
		if *got.message.SampleCount != count || *got.message.ZeroCount != below || *got.message.Schema != *wantNative.Histogram.Schema {
			t.Errorf("%s: %v", name, &got.message)
		}
	}
}

// gaps returns a histogram with empty buckets between others, of which the first is in use.
func gaps() (h stats.Histogram) {
	for _, v := range []uint32{0, 1, 2, 3, 50, 51, 55, 1000, 1 << 20, 1<<32 - 1} {
		h.Add(v, uint64(v%7+1))
	}
	return h
}

// decoded returns the counts of the native buckets by their index.
func decoded(h *dto.Histogram) map[int32]int64 {
	counts, at, delta, count := map[int32]int64{}, int32(0), 0, int64(0)
	for _, span := range h.PositiveSpan {
		at += *span.Offset
		for range *span.Length {
			count += h.PositiveDelta[delta]
			if count != 0 {
				counts[at] = count
			}
			at, delta = at+1, delta+1
		}
	}
	return counts
}

// The histograms of servers have fewer buckets, and these say the same.
func TestHistogramsOfServersAreSubsets(t *testing.T) {
	t.Parallel()
	h := spread()
	var all, few histogramValue
	all.fill(&h, requestDuration)
	few.fill(&h, serverDuration)
	counts := map[float64]uint64{}
	for _, b := range all.message.Bucket {
		counts[*b.UpperBound] = *b.CumulativeCount
	}
	if got, want := len(few.message.Bucket), 10; got != want {
		t.Errorf("%d buckets, want %d", got, want)
	}
	for _, b := range few.message.Bucket {
		if counts[*b.UpperBound] != *b.CumulativeCount {
			t.Errorf("%v: %d, want %d", *b.UpperBound, *b.CumulativeCount, counts[*b.UpperBound])
		}
	}
	if *few.message.SampleCount != *all.message.SampleCount {
		t.Errorf("count %d, want %d", *few.message.SampleCount, *all.message.SampleCount)
	}
}

// A Registry would refuse a series that is there twice, labels that are not sorted or miss, and families
// in another order.
func TestARegistryFindsNoFaultInTheMetrics(t *testing.T) {
	t.Parallel()
	f := busyFigures(2, 3)
	f.Pools[0].Follows = true
	f.Pools[0].Topology.Failovers = []pool.ShardFailovers{{Shard: "s1", Count: 1}, {Shard: "s2"}}
	f.Pools[0].Servers[0].LagKnown = true
	a := &Admin{}
	g := &gatherer{a, func() *server.Figures { return f }, prometheus.NewRegistry(), true}
	families, err := prometheus.Gatherers{g, prometheus.NewRegistry()}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for i, family := range families {
		if i > 0 && *families[i-1].Name >= *family.Name {
			t.Errorf("%s is behind %s", *family.Name, *families[i-1].Name)
		}
		m := allMetrics[slices.IndexFunc(allMetrics, func(m *metric) bool { return m.name == *family.Name })]
		for _, series := range family.Metric {
			var names []string
			for _, l := range series.Label {
				names = append(names, *l.Name)
			}
			if want := slices.Sorted(slices.Values(m.labels)); !slices.Equal(names, want) {
				t.Errorf("%s has labels %v, want %v", m.name, names, want)
			}
		}
	}
}
