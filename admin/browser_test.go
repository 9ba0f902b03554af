package admin_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// browser is a Chromium without a window, spoken to over two pipes in the DevTools protocol.
type browser struct {
	t       *testing.T
	to      *os.File
	session string // of its only page

	mu       sync.Mutex
	id       int
	answers  map[int]chan message
	problems []string // what its console shows, and requests to elsewhere
}

// message is one of the DevTools protocol.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// startBrowser starts Chromium, or skips the test.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	if os.Getenv("RINGWAY_PAGE") == "" {
		t.Skip("set RINGWAY_PAGE=1 to try the page in Chromium")
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Skip("Chromium is not installed")
	}
	toRead, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, fromWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{toRead, fromWrite}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toRead.Close()
	fromWrite.Close()
	b := &browser{t: t, to: to, answers: map[int]chan message{}}
	read := make(chan struct{})
	go func() { defer close(read); b.read(from) }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(b.eval("location.href + ' ' + document.body.innerText"))
		}
		b.call("", "Browser.close", map[string]any{})
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		to.Close()
		from.Close()
		<-read
	})
	var made struct{ TargetID, SessionID string }
	b.into(&made, b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}))
	b.into(&made, b.call("", "Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}))
	b.session = made.SessionID
	for _, domain := range []string{"Runtime", "Log", "Page", "Network"} {
		b.call(b.session, domain+".enable", map[string]any{})
	}
	b.call(b.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": 1280, "height": 1400, "deviceScaleFactor": 1, "mobile": false})
	return b
}

func (b *browser) into(v any, data json.RawMessage) {
	b.t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		b.t.Fatalf("%v: %s", err, data)
	}
}

// read takes what the browser says until it ends.
func (b *browser) read(from *os.File) {
	r := bufio.NewReader(from)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m) != nil {
			continue
		}
		b.mu.Lock()
		if answer := b.answers[m.ID]; answer != nil {
			delete(b.answers, m.ID)
			answer <- m
		}
		switch m.Method {
		case "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded":
			b.problems = append(b.problems, m.Method+" "+string(m.Params))
		case "Network.requestWillBeSent":
			var sent struct{ Request struct{ URL string } }
			json.Unmarshal(m.Params, &sent)
			if url := sent.Request.URL; !strings.HasPrefix(url, "http://127.0.0.1:") && !strings.HasPrefix(url, "data:") && url != "about:blank" {
				b.problems = append(b.problems, "a request to "+url)
			}
		}
		b.mu.Unlock()
	}
}

// call calls a method, and returns what it answers.
func (b *browser) call(session, method string, params any) json.RawMessage {
	b.t.Helper()
	arguments, err := json.Marshal(params)
	if err != nil {
		b.t.Fatal(err)
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.id++
	id := b.id
	b.answers[id] = answer
	b.mu.Unlock()
	text, err := json.Marshal(message{ID: id, Session: session, Method: method, Params: arguments})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error)
		}
		return m.Result
	case <-time.After(60 * time.Second):
		b.t.Fatalf("Chromium does not answer %s", method)
		return nil
	}
}

// eval returns the value of an expression in the page, as text.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.into(&r, b.call(b.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}))
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	return fmt.Sprint(r.Result.Value)
}

// shows waits until an element's text contains want.
func (b *browser) shows(selector, want string) {
	b.t.Helper()
	redistest.Eventually(b.t, 60*time.Second, selector+" to show "+want, func() bool {
		return strings.Contains(b.eval(fmt.Sprintf("document.querySelector(%q)?.textContent ?? ''", selector)), want)
	})
}

// noProblems fails the test if the page's console has shown anything.
func (b *browser) noProblems() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Error(p)
	}
}

// screenshot writes a picture of the page to a file, if RINGWAY_SCREENSHOTS names a directory.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("RINGWAY_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	b.into(&shot, b.call(b.session, "Page.captureScreenshot", map[string]any{"format": "png"}))
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/"+name+".png", data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// The page as an operator sees it: traffic, a server that is killed and started again, in light and
// dark, on a phone, and with nothing in the browser's console.
func TestPageInABrowser(t *testing.T) {
	b := startBrowser(t)
	servers := []*redistest.Server{redistest.Start(t), redistest.Start(t), redistest.Start(t)}
	w := startPool(t, "", "auto_eject_hosts = true\nserver_failure_limit = 1\nserver_retry_timeout = \"500ms\"\ntimeout = \"400ms\"\n", servers...)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		client := redistest.Dial(t, "tcp", w.pool)
		client.Do("SET", "<b>big", strings.Repeat("v", 8<<10))
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
				client.Do("SET", fmt.Sprint("<b>key:", i%50), "1")
				client.Do("GET", fmt.Sprint("<b>key:", i%50))
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
	b.call(b.session, "Page.navigate", map[string]any{"url": "http://" + w.admin + "/"})
	b.shows("#live", "live")
	b.shows("#version", "alpha at "+w.pool)
	b.shows("#servers", "s3up")
	b.shows("#ring", "3 / 3")
	b.shows("#ringwords", "All servers are up.")
	b.shows("#commands", "get")
	b.shows("#hotkeys", "<b>key:")
	b.shows("#loops", "%")
	b.shows("#bigkeys", "<b>big8.2kBsetrequest")
	b.shows("#slow", "127.0.0.1:")
	redistest.Eventually(t, 60*time.Second, "rates", func() bool { return b.eval("parseFloat(document.querySelector('#tiles b').textContent) > 0") == "true" })
	redistest.Eventually(t, 60*time.Second, "both charts", func() bool { return b.eval("document.querySelectorAll('.uplot canvas').length") == "2" })
	if b.eval("document.querySelectorAll('td b').length") != "0" {
		t.Error("a key was taken as markup")
	}
	servers[1].Kill()
	b.shows("#ring", "2 / 3")
	b.shows("#ringwords", "Down: s2; the other servers have its keys")
	b.shows("#servers", "s2down")
	b.shows("#changes", "went down: ")
	b.screenshot("down")
	servers[1].Restart()
	b.shows("#ring", "3 / 3")
	b.shows("#changes", "was restored")
	b.screenshot("light")
	b.call(b.session, "Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": "dark"}}})
	if back := b.eval("getComputedStyle(document.body).backgroundColor"); back != "rgb(16, 20, 24)" {
		t.Errorf("the background in the dark is %s", back)
	}
	b.screenshot("dark")
	b.call(b.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true})
	if b.eval("document.documentElement.scrollWidth <= 390") != "true" {
		t.Errorf("on a phone the page is %s wide", b.eval("document.documentElement.scrollWidth"))
	}
	b.screenshot("phone")
	// What is wider than a phone scrolls within its card.
	for id := range strings.FieldsSeq("tiles ring throughput latency servers slow changes hotkeys bigkeys commands failed closed loops") {
		if b.eval(fmt.Sprintf("document.getElementById(%q).closest('section').getBoundingClientRect().right <= 390", id)) != "true" {
			t.Errorf("%s is wider than a phone", id)
		}
		if strings.Contains("servers slow changes hotkeys bigkeys commands failed closed loops", id) && b.eval(fmt.Sprintf("document.querySelectorAll('#%s th').length > 1", id)) != "true" {
			t.Errorf("%s shows nothing", id)
		}
	}
	b.noProblems() // before the proxy ends, which the console shows
}
