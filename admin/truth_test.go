package admin_test

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

// series returns the values of a scrape by name and labels.
func (w *world) series() map[string]float64 {
	w.t.Helper()
	status, text := w.get("/metrics", "")
	if status != 200 {
		w.t.Fatalf("/metrics: %d", status)
	}
	values := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.Contains(name, "{") { // the label values of these tests have no spaces
			values[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return values
}

// Every number that a load determines is exactly that, on a real socket with a server whose delays are
// known. Latencies are at least the delays, and there is one for each request: how much more they are is
// the machine's business.
func TestMetricsSayWhatALoadWas(t *testing.T) {
	t.Parallel()
	slow := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		switch name := strings.ToUpper(args[0]); {
		case name == "GET" && args[1] != "quick":
			delay, _ := strconv.Atoi(args[1])
			time.Sleep(time.Duration(delay) * time.Millisecond)
			c.Reply("$5\r\nvalue\r\n")
		case name == "GET":
			c.Reply("$5\r\nvalue\r\n")
		case name == "LPUSH":
			c.Reply("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")
		default:
			c.Reply("+OK\r\n")
		}
	})
	w := startAt(t, "", `reply_check = "0s"`, slow.Addr())
	conn, err := net.Dial("tcp", w.pool)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	var sent, received int
	batch := func(requests string, replies int, reply string) {
		t.Helper()
		got := make([]byte, replies*len(reply))
		if _, err := io.WriteString(conn, requests); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != strings.Repeat(reply, replies) {
			t.Fatalf("%v: %q", err, got)
		}
		sent, received = sent+len(requests), received+len(got)
	}
	// The requests behind one that is delayed are delayed with it: they are sent together, as long as they
	// are no more than the window of a new client.
	delayed := func(ms, requests int) {
		batch(redistest.Request("GET", fmt.Sprint(ms))+strings.Repeat(redistest.Request("GET", "quick"), requests-1), requests, "$5\r\nvalue\r\n")
	}
	for range 5 {
		delayed(20, 10)
		delayed(60, 15)
	}
	delayed(300, 15)
	batch(strings.Repeat(redistest.Request("SET", "a", "1"), 70), 70, "+OK\r\n")
	batch(strings.Repeat(redistest.Request("LPUSH", "a", "1"), 9), 9, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")

	const all = 5*10 + 5*15 + 15 + 70 + 9
	var got map[string]float64
	redistest.Eventually(t, 30*time.Second, "all replies to be counted", func() bool {
		got = w.series()
		return got[`ringway_client_sent_bytes_total{pool="alpha"}`] == float64(received) && got[`ringway_request_duration_seconds_count{pool="alpha"}`] == all
	})
	for name, want := range map[string]float64{
		`ringway_client_received_bytes_total{pool="alpha"}`:                             float64(sent),
		`ringway_requests_total{command="get",pool="alpha"}`:                            140,
		`ringway_requests_total{command="set",pool="alpha"}`:                            70,
		`ringway_requests_total{command="lpush",pool="alpha"}`:                          9,
		`ringway_request_errors_total{command="lpush",pool="alpha"}`:                    9,
		`ringway_request_errors_total{command="get",pool="alpha"}`:                      0,
		`ringway_error_replies_total{code="WRONGTYPE",pool="alpha"}`:                    9,
		`ringway_server_requests_total{pool="alpha",server="s1"}`:                       all,
		`ringway_server_errors_total{pool="alpha",server="s1"}`:                         9,
		`ringway_server_duration_seconds_count{pool="alpha",server="s1"}`:               all,
		`ringway_server_sent_bytes_total{pool="alpha",server="s1"}`:                     float64(sent),
		`ringway_server_received_bytes_total{pool="alpha",server="s1"}`:                 float64(received),
		`ringway_server_queue_requests{pool="alpha",server="s1"}`:                       0,
		`ringway_server_timeouts_total{pool="alpha",server="s1"}`:                       0,
		`ringway_clients_accepted_total{pool="alpha"}`:                                  1,
		`ringway_clients{pool="alpha"}`:                                                 1,
		`ringway_command_duration_seconds_count{command="get",pool="alpha"}`:            140,
		`ringway_command_duration_seconds_bucket{command="get",pool="alpha",le="+Inf"}`: 140,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	for _, of := range []struct {
		metric  string
		quicker float64 // requests that nothing has delayed
	}{{`command_duration_seconds_bucket{command="get",pool="alpha"`, 0}, {`server_duration_seconds_bucket{pool="alpha",server="s1"`, 79}, {`request_duration_seconds_bucket{pool="alpha"`, 79}} {
		for bound, most := range map[string]float64{"0.01": 0, "0.05": 50, "0.25": 125} {
			if bound == "0.25" && strings.HasPrefix(of.metric, "server") {
				continue // which has no such bucket
			}
			name := fmt.Sprintf(`ringway_%s,le="%s"}`, of.metric, bound)
			if n, ok := got[name]; !ok || n > most+of.quicker {
				t.Errorf("%s is %v (%v), want %v at most", name, n, ok, most+of.quicker)
			}
		}
	}
	least := 50*0.02 + 75*0.06 + 15*0.3
	if sum := got[`ringway_command_duration_seconds_sum{command="get",pool="alpha"}`]; sum < least*0.999 {
		t.Errorf("the latencies add up to %v s, want %v at least", sum, least)
	}
}
