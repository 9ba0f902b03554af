package admin_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// shown is what the tests read of an event.
type shown struct {
	Pools []struct {
		Name     string
		Requests uint64
		Sample   []float64
		Servers  []struct {
			Name, State, Why string
			Share            float64
		}
		Commands []struct {
			Name  string
			Calls uint64
		}
	}
	Loops   []struct{ Clients int }
	Changes []struct {
		Server, What string
		Bad          bool
	}
}

// watch opens /events, and returns what reads the next event of a name.
func (w *world) watch() (next func(name string) []byte) {
	w.t.Helper()
	answer, err := http.Get("http://" + w.admin + "/events")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { answer.Body.Close() })
	if got := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || got != "text/event-stream" {
		w.t.Fatalf("%d, %s", answer.StatusCode, got)
	}
	r := bufio.NewReader(answer.Body)
	return func(name string) []byte {
		w.t.Helper()
		for at := ""; ; {
			line, err := r.ReadString('\n')
			if err != nil {
				w.t.Fatal(err)
			}
			if got, ok := strings.CutPrefix(line, "event: "); ok {
				at = strings.TrimSpace(got)
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok && at == name {
				return []byte(data)
			}
		}
	}
}

// until reads events until one is as wanted.
func until(t *testing.T, next func(string) []byte, what string, wanted func(*shown) bool) {
	t.Helper()
	var data []byte
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		var e shown
		if data = next("now"); json.Unmarshal(data, &e) != nil {
			t.Fatalf("%s", data)
		}
		if wanted(&e) {
			return
		}
	}
	t.Fatalf("no event shows %s; the last: %s", what, data)
}

func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	w := start(t, "", redistest.Start(t))
	answer, err := http.Get("http://" + w.admin + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	policy := answer.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "connect-src 'self'", "script-src 'sha256-", "style-src 'sha256-", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q has no %s", policy, want)
		}
	}
	for _, bad := range []string{"unsafe", "http", "*"} {
		if strings.Contains(policy, bad) {
			t.Errorf("policy %q has %s", policy, bad)
		}
	}
	for _, bad := range []string{"innerHTML", "src=", "@import", "/*script*/", "/*style*/", "/*plot*/"} {
		if strings.Contains(string(text), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if !strings.Contains(string(text), "uPlot") || len(text) > 200<<10 {
		t.Errorf("the page has %d bytes", len(text))
	}
	if status, _ := w.get("/nothing", ""); status != 404 {
		t.Errorf("/nothing: %d", status)
	}
}

func TestPageWantsThePassword(t *testing.T) {
	t.Parallel()
	w := start(t, `password = "sesame"`, redistest.Start(t))
	for _, path := range []string{"/", "/events"} {
		if status, body := w.get(path, ""); status != 401 || strings.Contains(body, "alpha") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _ := w.get("/", "sesame"); status != 200 {
		t.Errorf("with the password: %d", status)
	}
}

// Who watches sees traffic, and a server that goes and comes back.
func TestEventsShowWhatHappens(t *testing.T) {
	t.Parallel()
	s1, s2 := redistest.Start(t), redistest.Start(t)
	w := start(t, "", s1, s2)
	next := w.watch()
	client := redistest.Dial(t, "tcp", w.pool)
	for i := range 100 {
		client.Do("SET", fmt.Sprint("key:", i), "1")
	}
	until(t, next, "100 requests", func(e *shown) bool {
		p := e.Pools[0]
		return p.Name == "alpha" && p.Requests == 100 && len(p.Sample) == 8 && len(p.Servers) == 2 && p.Servers[0].Share+p.Servers[1].Share > 0.999 &&
			p.Commands[0].Name == "set" && p.Commands[0].Calls == 100 && e.Loops[0].Clients <= 1
	})
	console := redistest.Dial(t, "tcp", w.admin)
	console.Do("EJECT", "alpha", "s2")
	until(t, next, "the ejection", func(e *shown) bool {
		s := e.Pools[0].Servers[1]
		return s.State == "down" && s.Why != "" && len(e.Changes) == 1 && e.Changes[0].Server == "s2" && e.Changes[0].Bad && strings.HasPrefix(e.Changes[0].What, "went down: ")
	})
	console.Do("RESTORE", "alpha", "s2")
	until(t, next, "the restored server", func(e *shown) bool {
		return e.Pools[0].Servers[1].State == "up" && len(e.Changes) == 2 && e.Changes[0].What == "was restored"
	})
	var history map[string][][]float64
	if data := w.watch()("history"); json.Unmarshal(data, &history) != nil || len(history["alpha"]) < 2 || len(history["alpha"][0]) != 8 {
		t.Errorf("history: %s", data)
	}
}

func TestWatchersAreBounded(t *testing.T) {
	t.Parallel()
	w := start(t, "", redistest.Start(t))
	for range 32 {
		w.watch()
	}
	if status, body := w.get("/events", ""); status != 503 {
		t.Errorf("one more: %d %s", status, body)
	}
	if status, _ := w.get("/", ""); status != 200 {
		t.Errorf("the page: %d", status)
	}
}
