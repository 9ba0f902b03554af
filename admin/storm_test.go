package admin_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// busyClient sends requests to the pool, one after the other, until the test ends. It returns how many
// were answered so far.
func (w *world) busyClient() *atomic.Int64 {
	answered := new(atomic.Int64)
	client := redistest.Dial(w.t, "tcp", w.pool)
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got := client.Do("SET", "a", "1"); got != "+OK\r\n" {
				w.t.Errorf("a client of the pool: %q", got)
				return
			}
			answered.Add(1)
		}
	})
	w.t.Cleanup(func() { close(stop); running.Wait() })
	return answered
}

// progress waits until so many more requests were answered.
func (w *world) progress(answered *atomic.Int64, more int64) {
	w.t.Helper()
	want := answered.Load() + more
	redistest.Eventually(w.t, 30*time.Second, "clients of the pool to be served", func() bool { return answered.Load() >= want })
}

// Many scrapers at once all get their answer, and clients are served meanwhile.
func TestAStormOfScrapesIsAnswered(t *testing.T) {
	t.Parallel()
	w := start(t, "", redistest.StartN(t, 2)...)
	answered := w.busyClient()
	w.progress(answered, 1)
	before := answered.Load()
	var scrapers sync.WaitGroup
	for i := range 32 {
		scrapers.Go(func() {
			client := http.Client{Transport: &http.Transport{DisableCompression: true}}
			defer client.CloseIdleConnections()
			for range 5 {
				r, _ := http.NewRequest("GET", "http://"+w.admin+"/metrics", nil)
				if i%2 == 0 {
					r.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
				}
				answer, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != 200 || len(body) < 1000 || strings.Contains(string(body), "# HELP") == (i%2 == 0) {
					t.Errorf("%d, %d bytes, %v", answer.StatusCode, len(body), err)
				}
			}
		})
	}
	scrapers.Wait()
	if answered.Load() == before {
		t.Error("no client of the pool was served meanwhile")
	}
	w.progress(answered, 10)
}

// Scrapers that do not read their answers take no other's place.
func TestScrapersThatDoNotReadHoldUpNobody(t *testing.T) {
	t.Parallel()
	w := start(t, "", redistest.Start(t))
	answered := w.busyClient()
	for range 8 {
		conn, err := net.Dial("tcp", w.admin)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		conn.SetWriteDeadline(time.Now().Add(time.Second)) // when the proxy reads no more
		io.WriteString(conn, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 2000))
	}
	for range 5 {
		if status, text := w.get("/metrics", ""); status != 200 || !strings.Contains(text, "ringway_build_info") {
			t.Fatalf("another scraper: %d %.200s", status, text)
		}
	}
	w.progress(answered, 10)
}

// Requests that are far too large, or never end, are refused or wait alone.
func TestHugeRequestsOfTheAdminAddressAreRefused(t *testing.T) {
	t.Parallel()
	w := start(t, `password = "secret"`, redistest.Start(t))
	answered := w.busyClient()
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\n\r\n",
		"*2\r\n$4\r\nAUTH\r\n$1048576\r\n" + strings.Repeat("x", 1<<20) + "\r\n",
		"*65\r\n" + strings.Repeat("$1\r\nx\r\n", 65),
		strings.Repeat("x", 1<<20) + "\r\n",
	} {
		conn, err := net.Dial("tcp", w.admin)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sent := make(chan struct{})
		go func() { // the proxy may stop reading, and then closes
			io.WriteString(conn, raw)
			close(sent)
		}()
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		reply, err := io.ReadAll(conn)
		if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
			t.Errorf("%.20q is not refused: %.80q", raw, reply)
		}
		conn.Close()
		<-sent
	}
	if status, text := w.get("/metrics", "secret"); status != 200 {
		t.Fatalf("%d %.200s", status, text)
	}
	if got := redistest.Dial(t, "tcp", w.admin).Do("AUTH", "secret"); got != "+OK\r\n" {
		t.Errorf("console: %q", got)
	}
	w.progress(answered, 10)
}
